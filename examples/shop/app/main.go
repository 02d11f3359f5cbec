// Command app plays every part of the example shop: web, catalog, ledger, store, and
// a caller of these.
//
// It is an ordinary program that knows nothing of the mesh. It says who called it,
// as far as a sidecar told it (X-Forwarded-Client-Cert), so that a demonstration
// can show the identities on both ends of a call.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "app", Short: "Plays every part of the example shop", SilenceUsage: true}
	root.AddCommand(webCommand(), catalogCommand(), ledgerCommand(), storeCommand(), callCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		os.Exit(1)
	}
}

// serve runs an HTTP server until ctx ends, then lets requests finish.
func serve(ctx context.Context, listen string, h http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Addr: listen, Handler: h, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- s.ListenAndServe() }()
	select {
	case err := <-failed:
		return fmt.Errorf("listen on %s: %w", listen, err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
