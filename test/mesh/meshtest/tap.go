package meshtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Tap sees every packet between the pods.
type Tap struct {
	fd   int
	done chan struct{}

	mu     sync.Mutex // guards:
	wanted [][]byte
	seen   []int // packets that held wanted[i]
	all    int
}

// Tap starts to look for texts in what goes over the node's bridge, until the test ends.
func (m *Mesh) Tap(t testing.TB, texts ...string) *Tap {
	t.Helper()
	tap := &Tap{done: make(chan struct{}), seen: make([]int, len(texts))}
	for _, text := range texts {
		tap.wanted = append(tap.wanted, []byte(text))
	}
	err := m.Lab.Node().Do(func() (err error) {
		// The protocol is in network byte order.
		protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		tap.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		unix.SetsockoptInt(tap.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		// So that it notices the end of the test.
		unix.SetsockoptTimeval(tap.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
	)
	if err != nil {
		t.Fatal(err)
	}
	go tap.read()
	t.Cleanup(func() {
		close(tap.done)
	})
	return tap
}

func (t *Tap) read() {
	defer unix.Close(t.fd)
	frame := make([]byte, 1<<17) // offloading makes frames larger than the MTU
	for {
		select {
		case <-t.done:
			return
		default:
		}
		n, _, err := unix.Recvfrom(t.fd, frame, 0)
		if err != nil {
			continue // a time-out
		}
		t.mu.Lock()
		t.all++
		for i, w := range t.wanted {
			if bytes.Contains(frame[:n], w) {
				t.seen[i]++
			}
		}
		t.mu.Unlock()
	}
}

// Seen is the number of packets that held the text, and of all packets.
func (t *Tap) Seen(text string) (with, all int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range t.wanted {
		if string(w) == text {
			with = t.seen[i]
		}
	}
	return with, t.all
}
