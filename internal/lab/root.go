package lab

import (
	"fmt"
	"os"
	"runtime"
)

// TB is what RequireRoot needs of a *testing.T.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// RequireRoot fails the test unless this process may make network namespaces. It
// does not skip: a mesh that was not tested with real packets was not tested.
func RequireRoot(t TB) {
	t.Helper()
	if err := checkRoot(); err != nil {
		t.Fatalf("%v", err)
	}
}

func checkRoot() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("lab: network namespaces need Linux, this is %s; run in a Linux virtual machine", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("lab: making network namespaces needs root, this is uid %d; run with sudo, or in a container with --privileged", os.Geteuid())
	}
	return nil
}
