package ads

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/fairlead/fairlead/mesh"
)

// blob is the encoded form of a resource: immutable, shared by all keys that
// have the same bytes, and by all streams.
type blob struct {
	id  string     // the version that the client is told
	buf mem.Buffer // nil if the bytes are not kept (private), or if there are none
}

// version is one state of an entry: what its holders are to have. Immutable but
// for the flag.
type version struct {
	blob    *blob
	refs    []Ref
	after   []Ref
	absent  bool // there is no such resource
	builtAt time.Time

	// acked reports that some client has acknowledged it.
	acked atomic.Bool
}

// absentVersion stands for "there is no such resource".
var absentVersion = &version{blob: &blob{}, absent: true}

// foreignVersion is what a client holds of a resource if it is none of ours.
var foreignVersion = &version{blob: &blob{id: "?"}}

// same reports that a client which has v needs nothing to have w.
func (v *version) same(w *version) bool {
	if v == w {
		return true
	}
	if v == nil || w == nil || v.absent != w.absent {
		return false
	}
	return v.blob == w.blob || v.blob.id == w.blob.id
}

// published is what an entry tells its holders. Immutable.
type published struct {
	// cur is the newest version.
	cur *version
	// good is the last version that some client acknowledged; nil if none was.
	// It may be cur.
	good *version
	// by is the first pod that rejected cur while nobody had acknowledged it
	// (stream.pod); "" if none did.
	by string
	// bad reports that cur is quarantined: two pods rejected it and no client has
	// acknowledged it. One alone could withhold anything from everyone.
	bad bool
}

// entry is the resource of one Key: interned, so that streams refer to it by
// pointer. It is made when the first client asks for it, stays as long as one
// holds it, and then as long as the cache has room.
type entry struct {
	// Set once.
	key     Key
	private bool // made by Source.Issue
	local   bool // belongs to one stream, not to the cache: private, or refused
	sticky  bool

	// Atomic.
	// state is nil until the resource is first built. It is stored under mu.
	state atomic.Pointer[published]
	// failed reports that it could not be built, ever.
	failed atomic.Bool
	// watched counts the calls of WaitAcked that look at the entry.
	watched atomic.Int32

	mu sync.Mutex // guards:
	// holders are the streams' records, in no order; each knows its place.
	holders []*held
	// progress is closed when something happened that WaitAcked may wait for; nil
	// if nobody does.
	progress chan struct{}

	// Under cache.mu.
	pins int // holders, including those that are about to come

	// Under builder.mu.
	queued   bool
	building bool
	again    bool // changed while being built

	// Under index.mu.
	deps []mesh.Key
	dead bool // evicted: must not enter the index again
}

// attach makes h a holder. The caller then reads state: a version published
// later reaches h through holders.
func (e *entry) attach(h *held) {
	e.mu.Lock()
	h.pos = int32(len(e.holders))
	e.holders = append(e.holders, h)
	e.mu.Unlock()
}

// detach ends what attach began.
func (e *entry) detach(h *held) {
	e.mu.Lock()
	last := len(e.holders) - 1
	moved := e.holders[last]
	e.holders[h.pos] = moved
	moved.pos = h.pos
	e.holders[last] = nil
	e.holders = e.holders[:last]
	if cap(e.holders) > 64 && last < cap(e.holders)/4 {
		e.holders = append(make([]*held, 0, cap(e.holders)/2), e.holders...)
	}
	e.mu.Unlock()
	e.moved()
}

// publish makes v the newest version and appends the holders at that moment to
// list.
func (e *entry) publish(v *version, list []*held) []*held {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := &published{cur: v}
	if old := e.state.Load(); old != nil {
		next.good = old.good
		if v.same(old.cur) {
			next.by, next.bad = old.by, old.bad
			v.acked.Store(old.cur.acked.Load())
		}
		if v.same(old.good) {
			next.good, next.by, next.bad = v, "", false
			v.acked.Store(true)
		}
	}
	e.state.Store(next)
	return append(list, e.holders...)
}

// snapshot appends the holders to list.
func (e *entry) snapshot(list []*held) []*held {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append(list, e.holders...)
}

// moved tells WaitAcked that a holder acknowledged something or went away.
func (e *entry) moved() {
	if e.watched.Load() == 0 {
		return
	}
	e.mu.Lock()
	if e.progress != nil {
		close(e.progress)
		e.progress = nil
	}
	e.mu.Unlock()
}

// watch returns a channel that is closed at the next move.
func (e *entry) watch() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.progress == nil {
		e.progress = make(chan struct{})
	}
	return e.progress
}

// accept notes that a client acknowledged v. It reports whether that changes
// what the other holders are to have: it ends a quarantine, or gives them a good
// version in one.
func (e *entry) accept(v *version) (lifted bool) {
	if v.acked.Load() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	v.acked.Store(true)
	p := e.state.Load()
	switch {
	case p == nil:
		return false
	case p.cur.same(v):
		p.cur.acked.Store(true)
		e.state.Store(&published{cur: p.cur, good: p.cur})
		return p.bad
	case p.good == nil || v.builtAt.After(p.good.builtAt):
		e.state.Store(&published{cur: p.cur, good: v, by: p.by, bad: p.bad})
		return p.bad
	}
	return false
}

// rejection is what a client's rejection of a version means for the others.
type rejection uint8

const (
	rejectedAlone rejection = iota // nothing: others took it, or it is known
	rejectedFirst                  // nothing yet: nobody else has answered it
	rejectedByTwo                  // it is withheld from everyone from now on
)

// reject notes that the pod by rejected v.
func (e *entry) reject(v *version, by string) rejection {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.state.Load()
	switch {
	case p == nil || !p.cur.same(v) || p.bad || p.cur.acked.Load() || p.by == by:
		return rejectedAlone
	case p.by == "":
		e.state.Store(&published{cur: p.cur, good: p.good, by: by})
		return rejectedFirst
	}
	e.state.Store(&published{cur: p.cur, good: p.good, by: p.by, bad: true})
	return rejectedByTwo
}
