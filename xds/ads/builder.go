package ads

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// builder builds entries, in workers of its own, so that a build delays no
// stream. There are two queues: what is urgent (endpoints, secrets, whatever a
// client waits for the first time) and the rest. One worker takes only from the
// first, so that heavy work never stands in the way of an endpoint.
type builder struct {
	srv *Server

	mu     sync.Mutex // guards:
	cond   sync.Cond
	urgent fifo
	heavy  fifo
	closed bool
}

func newBuilder(srv *Server) *builder {
	b := &builder{srv: srv}
	b.cond.L = &b.mu
	return b
}

// fifo is a queue of entries, each at most once (entry.queued).
type fifo struct {
	list []*entry
	head int
}

func (q *fifo) push(e *entry) { q.list = append(q.list, e) }

func (q *fifo) pop() *entry {
	if q.head == len(q.list) {
		return nil
	}
	e := q.list[q.head]
	q.list[q.head] = nil
	if q.head++; q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > 1024 {
			q.list = nil
		}
	}
	return e
}

// enqueue has the entries built (again).
func (b *builder) enqueue(list ...*entry) {
	if len(list) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	added := false
	for _, e := range list {
		switch {
		case e.queued:
		case e.building:
			e.again = true
		default:
			b.push(e)
			added = true
		}
	}
	if added {
		b.cond.Broadcast()
	}
}

// ensure has e built if it never was.
func (b *builder) ensure(e *entry) {
	if e.state.Load() != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.state.Load() == nil && !e.queued && !e.building {
		b.push(e)
		b.cond.Broadcast()
	}
}

func (b *builder) push(e *entry) {
	e.queued = true
	if urgent(e) {
		b.urgent.push(e)
	} else {
		b.heavy.push(e)
	}
}

func urgent(e *entry) bool {
	return e.key.Type == Endpoint || e.key.Type == Secret || e.state.Load() == nil
}

// next waits for an entry to build; nil when the builder is closed.
func (b *builder) next(onlyUrgent bool) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if b.closed {
			return nil
		}
		e := b.urgent.pop()
		if e == nil && !onlyUrgent {
			e = b.heavy.pop()
		}
		if e != nil {
			e.queued, e.building = false, true
			return e
		}
		b.cond.Wait()
	}
}

// finish ends the build of e. If it changed meanwhile it is queued again.
func (b *builder) finish(e *entry, stale bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.building = false
	if e.again || stale {
		e.again = false
		b.push(e)
		b.cond.Broadcast()
	}
}

// close ends the workers.
func (b *builder) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cond.Broadcast()
}

// work is a worker.
func (b *builder) work(onlyUrgent bool) {
	var scratch []*held
	for {
		e := b.next(onlyUrgent)
		if e == nil {
			return
		}
		paced := !urgent(e)
		watch := b.srv.index.begin()
		v, deps := b.make(e)
		stale := b.srv.index.end(watch, e, deps)
		if v != nil {
			scratch = b.srv.publish(e, v, paced, scratch[:0])
			clear(scratch)
		}
		b.finish(e, stale)
		e.moved()
	}
}

// make builds and encodes the present version of e; nil if there is nothing to
// publish: an error, or the same as before.
func (b *builder) make(e *entry) (*version, []mesh.Key) {
	srv := b.srv
	start := time.Now()
	tracker := mesh.Track(srv.cfg.View)
	built, err := b.call(e.key, tracker)
	deps := tracker.Keys()
	srv.stats.builds.Add(1)
	var v *version
	if err == nil {
		v, err = srv.encode(e, built)
	}
	if err != nil {
		srv.stats.buildErrors.Add(1)
		srv.log.Error("a resource cannot be built; the last good version stays", "resource", e.key.String(), "error", err)
		if e.state.Load() == nil && !e.failed.Swap(true) {
			srv.tellHolders(e) // what waits for it goes on without
		}
		return nil, deps
	}
	v.builtAt = start
	srv.stats.buildNanos.Add(int64(time.Since(start)))
	old := e.state.Load()
	if old == nil {
		return v, deps
	}
	if v.absent && e.sticky && !old.cur.absent {
		srv.stats.stickyLost.Add(1)
		srv.log.Error("the source has no replacement for a resource that must not be removed; the last version stays", "resource", e.key.String())
		return nil, deps
	}
	if v.same(old.cur) && equalRefs(v.refs, old.cur.refs) && equalRefs(v.after, old.cur.after) {
		return nil, deps
	}
	return v, deps
}

// call runs Source.Build. A panic in it is an error of that resource, not the
// end of every stream.
func (b *builder) call(k Key, view mesh.View) (built Built, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return b.srv.source.Build(k, view)
}

// encode makes a version of what the source built.
func (srv *Server) encode(e *entry, built Built) (*version, error) {
	if built.Message == nil {
		return &version{blob: absentVersion.blob, absent: true, refs: built.Refs, after: built.After}, nil
	}
	frame, id, err := encodeResource(e.key.Type, e.key.Name, built.Version, built.Message)
	if err != nil {
		return nil, err
	}
	v := &version{refs: built.Refs, after: built.After}
	if e.private {
		v.blob = newPrivateBlob(id, frame)
	} else {
		v.blob = srv.blobs.intern(e.key.Type, e.key.Name, id, frame)
	}
	return v, nil
}

func equalRefs(a, b []Ref) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// pending reports that e is being built or waits for it.
func (b *builder) pending(e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return e.queued || e.building
}
