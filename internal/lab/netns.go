package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Netns is a network namespace. Its methods may be called concurrently.
type Netns struct {
	lab  *Lab
	name string // as "ip netns" lists it

	mu      sync.Mutex
	fd      int // -1 when closed
	closers map[io.Closer]struct{}
}

// newNetns makes a named namespace with its loopback interface down.
func (l *Lab) newNetns(name string) (*Netns, error) {
	n := &Netns{lab: l, name: netnsPrefix(l.id) + name, fd: -1, closers: map[io.Closer]struct{}{}}
	made := make(chan error)
	go func() {
		// The thread moves into the new namespace; not unlocked, it ends with this
		// goroutine.
		runtime.LockOSThread()
		h, err := netns.NewNamed(n.name)
		n.fd = int(h)
		made <- err
	}()
	if err := <-made; err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespace %s: %w", n.name, err), deleteNamed(n.name))
	}
	return n, nil
}

// Name is the name for "ip netns exec".
func (n *Netns) Name() string { return n.name }

// Do calls f on a thread inside the namespace, and nothing else runs on that
// thread. Sockets that f makes belong to the namespace for good. Goroutines that f
// starts are outside again.
func (n *Netns) Do(f func() error) error {
	err := errors.New("lab: the function ended its goroutine")
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if enterErr := n.enter(); enterErr != nil {
			runtime.UnlockOSThread()
			err = enterErr
			return
		}
		err = f()
		// A thread that cannot go back is not unlocked: it ends with this goroutine.
		if unix.Setns(n.lab.host, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return err
}

// enter moves the calling thread into the namespace.
func (n *Netns) enter() error {
	n.mu.Lock() // the descriptor must not be closed, and its number taken, meanwhile
	defer n.mu.Unlock()
	if n.fd < 0 {
		return fmt.Errorf("lab: namespace %s: %w", n.name, net.ErrClosed)
	}
	if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("lab: enter namespace %s: %w", n.name, err)
	}
	return nil
}

// Listen listens in the namespace, as net.Listen does. The listener is closed with
// the namespace at the latest.
func (n *Netns) Listen(network, address string) (net.Listener, error) {
	var listener net.Listener
	err := n.Do(func() (err error) {
		listener, err = net.Listen(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", n.name, err)
	}
	return listener, n.keep(listener)
}

// ListenPacket listens in the namespace, as net.ListenPacket does.
func (n *Netns) ListenPacket(network, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", n.name, err)
	}
	return conn, n.keep(conn)
}

// DialContext connects from within the namespace. The host is an IP address or a
// name that Lab.SetHost knows: there is no DNS.
func (n *Netns) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	address, err := n.lab.hosts.resolve(network, address)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	err = n.Do(func() (err error) {
		// One address only: the dialer makes its socket on this very thread.
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", n.name, err)
	}
	return conn, nil
}

// HTTPClient returns a client whose connections come from within the namespace. It
// follows no redirects and reads no proxy settings. Each call makes a client with
// connections of its own.
func (n *Netns) HTTPClient() *http.Client {
	transport := &http.Transport{
		DialContext:         n.DialContext,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
	}
	// A closed namespace can make no connection; that error tells enough.
	_ = n.keep(idleCloser{transport})
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// idleCloser closes the connections that a client keeps.
type idleCloser struct{ *http.Transport }

func (c idleCloser) Close() error {
	c.CloseIdleConnections()
	return nil
}

// keep closes c with the namespace.
func (n *Netns) keep(c io.Closer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return errors.Join(fmt.Errorf("lab: namespace %s: %w", n.name, net.ErrClosed), c.Close())
	}
	n.closers[c] = struct{}{}
	return nil
}

func (n *Netns) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	var errs []error
	for c := range n.closers {
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, unix.Close(n.fd), deleteNamed(n.name))
	n.fd = -1
	return errors.Join(errs...)
}

// deleteNamed deletes a named namespace; it is no error if there is none.
func deleteNamed(name string) error {
	path := filepath.Join(namedNetns, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
