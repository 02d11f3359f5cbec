package controller

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// cutUnix reports whether an address names a Unix socket, and its path.
func cutUnix(address string) (path string, ok bool) {
	return strings.CutPrefix(address, "unix:")
}

// listenUnix listens on a socket that only this user may connect to. A socket
// that a killed process left behind is replaced, one that answers is not.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("unix:%s: another process listens there", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// The mode has to be right from the first moment on, not after a chmod.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	return l, err
}
