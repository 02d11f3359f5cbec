// Command fairlead-redirect is the init container: it waits for the sidecar, sends
// the pod's connections through it (package injector/redirect) and exits.
//
// It needs uid 0 and the capability NET_ADMIN, nothing else: no files, no cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-redirect:", err)
		stop()
		os.Exit(1)
	}
}
