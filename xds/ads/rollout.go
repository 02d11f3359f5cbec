package ads

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// maxNamed bounds how many clients an answer or an error names.
const maxNamed = 20

// Rollout says how far the present version of a resource has come.
type Rollout struct {
	// Version is the newest one, "" if there is no such resource (any more).
	Version string
	// Quarantined reports that two pods rejected it and none took it: it is sent to
	// nobody, but, if it is sticky, to those that have nothing in its place.
	Quarantined bool
	// Holders is how many clients are to have it, Acked how many of these have
	// acknowledged this version.
	Holders, Acked int
	// Pending names clients that have not: at most 20, sorted.
	Pending []string
}

// Rollout counts who holds k and who has acknowledged its present version. The
// zero Rollout means that nobody has asked for it.
func (srv *Server) Rollout(k Key) Rollout {
	var r Rollout
	e := srv.cache.peek(k)
	if e == nil {
		return r
	}
	p := e.state.Load()
	if p == nil {
		return r
	}
	r.Version, r.Quarantined = p.cur.blob.id, p.bad
	for _, h := range e.snapshot(nil) {
		holds, acked := h.progress(e)
		if !holds {
			continue
		}
		r.Holders++
		if acked {
			r.Acked++
		} else {
			r.Pending = append(r.Pending, h.s.label())
		}
	}
	slices.Sort(r.Pending)
	if len(r.Pending) > maxNamed {
		r.Pending = slices.Clip(r.Pending[:maxNamed])
	}
	return r
}

// progress says whether the client is to have e, and whether it has acknowledged
// its present version.
func (h *held) progress(e *entry) (holds, acked bool) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	p := e.state.Load()
	if h.is(dead) || h.s.closed || h.e != e || p == nil || !h.wanted() || !h.s.deliverable(h) {
		return false, false
	}
	if p.cur.absent {
		return true, !h.has()
	}
	return true, h.acked.same(p.cur)
}

// WaitAcked waits until every client that holds one of keys has acknowledged its
// present version, whatever that is then: a client that goes away no longer
// counts, one that comes does. A change that Server.Changed was told of before
// the call is waited for as well. When ctx ends, the error says who is missing.
func (srv *Server) WaitAcked(ctx context.Context, keys ...Key) error {
	for again := true; again; {
		again = false
		for _, k := range keys {
			waited, err := srv.waitKey(ctx, k)
			if err != nil {
				return err
			}
			again = again || waited
		}
	}
	return nil
}

// waitKey waits for one key. It reports whether it had to.
func (srv *Server) waitKey(ctx context.Context, k Key) (waited bool, err error) {
	e := srv.cache.peek(k)
	if e == nil {
		return false, nil
	}
	e.watched.Add(1)
	defer e.watched.Add(-1)
	for clean := false; !clean; {
		had, err := srv.waitWhile(ctx, e, func() bool { return srv.builder.pending(e) })
		if err != nil {
			return waited || had, err
		}
		clean = true
		for _, h := range e.snapshot(nil) {
			had, err := srv.waitWhile(ctx, e, func() bool {
				holds, acked := h.progress(e)
				return holds && !acked
			})
			waited = waited || had
			if err != nil {
				return waited, err
			}
			clean = clean && !had
		}
	}
	return waited, nil
}

// waitWhile waits while missing says so, asking again at each move of e.
func (srv *Server) waitWhile(ctx context.Context, e *entry, missing func() bool) (waited bool, err error) {
	for missing() {
		moved := e.watch()
		if !missing() {
			break
		}
		waited = true
		if err := srv.await(ctx, e.key, moved); err != nil {
			return true, err
		}
	}
	return waited, nil
}

func (srv *Server) await(ctx context.Context, k Key, moved <-chan struct{}) error {
	select {
	case <-moved:
		return nil
	case <-ctx.Done():
	}
	r := srv.Rollout(k)
	text := fmt.Sprintf("%s: %d of %d clients have acknowledged version %s", k, r.Acked, r.Holders, r.Version)
	if len(r.Pending) > 0 {
		text += "; missing: " + strings.Join(r.Pending, ", ")
	}
	if r.Quarantined {
		text += "; it was rejected"
	}
	return fmt.Errorf("%s: %w", text, context.Cause(ctx))
}
