package certs

import (
	"bytes"
	"io"
	"net"
	"sync"
)

// newPipe is net.Pipe with a buffer: two ends of a handshake that fails may both be
// writing. It works in a synctest bubble, where a socket would not.
func newPipe() (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &end{read: down, write: up}, &end{read: up, write: down}
}

// end is one end; the methods of net.Conn that it lacks are not called.
type end struct {
	net.Conn
	read, write *stream
}

func (e *end) Read(b []byte) (int, error)  { return e.read.Read(b) }
func (e *end) Write(b []byte) (int, error) { return e.write.Write(b) }

func (e *end) Close() error {
	e.read.close()
	e.write.close()
	return nil
}

// stream is one direction.
type stream struct {
	mu     sync.Mutex
	change *sync.Cond
	buf    bytes.Buffer
	closed bool
}

func newStream() *stream {
	s := &stream{}
	s.change = sync.NewCond(&s.mu)
	return s
}

func (s *stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.buf.Len() == 0 && !s.closed {
		s.change.Wait()
	}
	return s.buf.Read(b) // io.EOF if it is empty
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	defer s.change.Broadcast()
	return s.buf.Write(b)
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.change.Broadcast()
}
