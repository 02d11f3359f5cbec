package ads

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the part of grpc.ServerStream that a stream uses.
type wire interface {
	Context() context.Context
	SendMsg(any) error
	RecvMsg(any) error
}

// closer ends the connection below a stream. Neither method waits.
type closer interface {
	close() // in good order
	abort() // at once
}

// stream is one client. Its only goroutine of its own is that of the handler,
// which reads requests; a sender comes and goes.
type stream struct {
	// Set once.
	srv    *Server
	id     uint64
	wire   wire
	conn   closer
	since  time.Time
	remote string
	ageAt  time.Time // zero: never

	// Atomic.
	client atomic.Pointer[Client] // of one pod; stored under refreshing
	// sendSince is when the present send began; ackSince when the oldest unanswered
	// response was sent. Server.clock, 0: none.
	sendSince atomic.Int64
	ackSince  atomic.Int64

	refreshing sync.Mutex // one refresh at a time, so that the latest answer counts

	// Under timers.mu.
	timerAt    time.Time // zero: none is set
	timerIndex int       // in timers.heap

	mu       sync.Mutex // guards:
	node     string
	types    [numTypes]typeState
	sets     [numTypes]heldSet
	dirty    [numTypes][]*held
	inflight []*response // in the order in which they were sent
	nonce    uint64
	count    int // of all sets
	sticky   int // of these, those with a sticky entry
	privates []*held
	pushing  bool // a sender is at work
	closed   bool
	syncing  bool // counts against Config.SyncConcurrency
	started  bool // a request has come

	syncUntil     time.Time
	reportedUntil time.Time // zero: nothing is held by report alone
	clusterAck    time.Time // when the client last acknowledged a cluster that is new to it
	removalSince  time.Time // since when a removal waits; zero: none does
	afterWarned   time.Time // when it was last logged that a wait was given up
	retouch       []*entry  // whose other holders are to be told, after mu

	missing map[Ref]int32 // references to what there was no room for, counted
	warned  uint8         // see first
	asks    bucket        // of private resources
}

// typeState is what the client subscribes to, of one type.
type typeState struct {
	seen     bool // there was a request
	wildcard bool
	// empty: the client waits for an answer even if there is nothing to send.
	empty      bool
	prefixes   []string // of VirtualHost: "<route configuration>/"
	subscribed int32
	untold     []string // refused, and to be answered

	sent, acked, nacked uint32 // responses
}

// get returns what the stream knows of a resource, or nil.
func (s *stream) get(r Ref) *held { return s.sets[r.Type].get(r.Name) }

// deliverable reports that the client would take the resource: it subscribes to
// the name, or to all names.
func (s *stream) deliverable(h *held) bool {
	return h.is(explicit) || s.underWildcard(h.e.key.Type, h.e.key.Name)
}

func (s *stream) underWildcard(t Type, name string) bool {
	if s.types[t].wildcard {
		return true
	}
	for _, p := range s.types[t].prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// mark has the sender look at h.
func (s *stream) mark(h *held) {
	s.recount(h)
	if !h.is(dirty) && !h.is(dead) {
		h.flags |= dirty
		t := h.e.key.Type
		s.dirty[t] = append(s.dirty[t], h)
	}
}

// touch tells the stream that the entry of h changed. Called without any lock.
func (s *stream) touch(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.is(dead) || s.closed {
		return
	}
	s.mark(h)
	s.kick()
}

// kick starts a sender if there may be something to send and none is at work.
func (s *stream) kick() {
	if s.pushing || s.closed || !s.hasWork() {
		return
	}
	s.pushing = true
	s.srv.sending.Add(1)
	s.srv.wg.Add(1)
	go s.push()
}

func (s *stream) hasWork() bool {
	for t := range s.dirty {
		if len(s.dirty[t]) > 0 || s.types[t].empty || len(s.types[t].untold) > 0 {
			return true
		}
	}
	return false
}

// handle works off one request.
func (s *stream) handle(r *request) {
	if !r.known {
		s.srv.stats.unknownTypes.Add(1)
		s.srv.log.Debug("a client asks for a type that is not served", "client", s.label(), "type", r.typeURL)
		return
	}
	now := time.Now()
	s.mu.Lock()
	s.started = true
	if r.node != "" {
		s.node = r.node
	}
	if r.nonce != 0 {
		s.answer(r, now)
	}
	s.subscribe(r, now)
	s.kick()
	s.checkSynced()
	s.unlock()
}

// unlock unlocks mu, and tells the other streams what concerns them.
func (s *stream) unlock() {
	retouch := s.retouch
	s.retouch = nil
	s.mu.Unlock()
	for _, e := range retouch {
		s.srv.tellHolders(e)
	}
}

// tellHolders has every holder of e look at it again.
func (srv *Server) tellHolders(e *entry) {
	e.moved()
	for _, h := range e.snapshot(nil) {
		h.s.touch(h)
	}
}

// read is the life of the stream: it returns when the client is gone.
func (s *stream) read() error {
	var r request
	for {
		r.reset()
		if err := s.wire.RecvMsg(&r); err != nil {
			return err
		}
		s.handle(&r)
	}
}

// end lets go of all that the stream holds.
func (s *stream) end() {
	s.mu.Lock()
	s.closed = true
	s.srv.timers.remove(s) // after closed: who arms it looks at that, under mu
	s.synced()
	release := make([]*entry, 0, s.count)
	for t := range s.sets {
		for _, h := range s.sets[t] {
			h.flags |= dead
			h.e.detach(h)
			if !h.e.local {
				release = append(release, h.e)
			}
		}
		s.sets[t], s.dirty[t] = nil, nil
	}
	s.inflight = nil
	s.ackSince.Store(0)
	s.unlock()
	s.srv.cache.release(release...)
}

// cut ends the connection at once; the handler then returns.
func (s *stream) cut() { s.conn.abort() }

// label names the client for logs.
func (s *stream) label() string {
	c := s.client.Load()
	if c == nil {
		return s.remote
	}
	if c.Pod.IsZero() {
		return c.Identity.String()
	}
	return c.Pod.String()
}
