package ads

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// issuing is what a stream keeps for a private resource: not its content.
type issuing struct {
	running bool
	again   bool // to be made once more, while running
	stop    context.CancelFunc
	at      time.Time     // when to issue it anew; zero: never
	have    string        // what the source is told then that the client has
	wait    time.Duration // before the next attempt, after errors
	asked   time.Time     // when it is the turn of a client that asked too often; zero: it did not
}

func (i *issuing) cancel() {
	if i.stop != nil {
		i.stop()
	}
}

const (
	issueRetryMin = time.Second
	issueRetryMax = 30 * time.Second
)

// issueFirst has h made unless that was tried already; then the timer sees to
// the next attempt.
func (s *stream) issueFirst(h *held, now time.Time) {
	if h.ext.issue.at.After(now) {
		return
	}
	have := h.ext.reported
	if have == foreignVersion.blob.id {
		have = ""
	}
	s.issueAsked(h, have, now)
}

// issueAsked has h made because the client asks for it, as often as it may. What
// is being made already will do.
func (s *stream) issueAsked(h *held, have string, now time.Time) {
	is := h.ext.issue
	if is.running || is.asked.After(now) {
		return
	}
	if wait := s.asks.take(now); wait > 0 {
		is.asked = now.Add(wait)
		s.arm(is.asked)
		return
	}
	s.issue(h, have)
}

// bucket is a token bucket: it has askBurst tokens, one of which comes back every
// askInterval.
type bucket struct {
	full time.Time // when it has all of them
}

// A signature is the dearest thing that a client can ask for.
const (
	askBurst    = 4
	askInterval = 15 * time.Second
)

// take takes a token, or says how long it is until there is one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	if b.full.Before(now) {
		b.full = now
	}
	if wait = b.full.Sub(now) - (askBurst-1)*askInterval; wait > 0 {
		return wait
	}
	b.full = b.full.Add(askInterval)
	return 0
}

// bare replaces the version of a private resource by one without its bytes, for
// they are on their way to the client and kept by no one.
func (h *held) bare(v *version) *version {
	b := &version{blob: &blob{id: v.blob.id}, refs: v.refs, after: v.after, builtAt: v.builtAt}
	h.e.publish(b, nil)
	if x := h.ext; x != nil {
		for i := range x.counted {
			if x.counted[i] == v {
				x.counted[i] = b
			}
		}
	}
	return b
}

// issue has a private resource made, in a goroutine of its own.
func (s *stream) issue(h *held, have string) {
	is := h.ext.issue
	if is.running {
		is.again = true
		return
	}
	ctx, cancel := context.WithCancel(s.wire.Context())
	is.running, is.stop, is.at, is.asked, is.have = true, cancel, time.Time{}, time.Time{}, ""
	s.srv.wg.Add(1)
	go func() {
		defer s.srv.wg.Done()
		defer cancel()
		s.srv.issue(ctx, s, h, have)
	}()
}

// issue calls the source, a bounded number of times at once.
func (srv *Server) issue(ctx context.Context, s *stream, h *held, have string) {
	if srv.issueSem.Acquire(ctx, 1) != nil {
		return // the stream is gone, or the client no longer wants it
	}
	start := time.Now()
	built, renew, err := srv.callIssue(ctx, s.client.Load(), h.e.key, have)
	srv.issueSem.Release(1)
	var v *version
	switch {
	case err != nil:
	case built.Message == nil && have != "" && built.Version == have:
		v = &version{blob: &blob{id: have}, refs: built.Refs, after: built.After}
	default:
		v, err = srv.encode(h.e, built)
	}
	if v != nil {
		v.builtAt = start
	}
	srv.stats.issues.Add(1)
	srv.stats.issueNanos.Add(int64(time.Since(start)))
	if err != nil && ctx.Err() == nil {
		srv.stats.issueErrors.Add(1)
		srv.log.Error("a private resource cannot be issued; it is tried again", "client", s.label(), "resource", h.e.key.String(), "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.is(dead) || s.closed || h.ext == nil || h.ext.issue == nil {
		return
	}
	s.issued(h, v, renew, have, err)
	s.kick()
}

// issued takes the outcome. v is nil if there was an error: then it is tried
// again, with the same have.
func (s *stream) issued(h *held, v *version, renew Renewal, have string, err error) {
	is := h.ext.issue
	is.running, is.stop = false, nil
	now := time.Now()
	if err != nil {
		h.e.failed.Store(true)
		is.wait = min(max(2*is.wait, issueRetryMin), issueRetryMax)
		is.at = now.Add(is.wait/2 + rand.N(is.wait/2+1))
		is.have = have
		s.arm(is.at)
		return
	}
	is.wait = 0
	if is.at = renew.At; !is.at.IsZero() {
		s.arm(is.at)
	}
	h.e.publish(v, nil)
	held := h.ext.reported
	if !v.absent && v.blob.buf == nil {
		// What the client has is still good.
		if h.sent == nil || h.sent.same(v) {
			h.sent, h.acked = v, v
		}
		held = ""
	}
	h.ext.reported = ""
	if held != "" && h.sent == nil {
		h.sent, h.acked = foreignVersion, foreignVersion
	}
	s.mark(h)
	if is.again {
		is.again = false
		s.issue(h, h.held())
	}
}

// held returns the version that the client has of a private resource.
func (h *held) held() string {
	if h.acked == nil || h.acked == foreignVersion || !h.acked.same(h.sent) {
		return ""
	}
	return h.acked.blob.id
}

// callIssue runs Source.Issue. A panic in it is an error of that resource.
func (srv *Server) callIssue(ctx context.Context, c *Client, k Key, have string) (b Built, r Renewal, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return srv.source.Issue(ctx, c, k, have)
}

// renew issues anew what is due.
func (s *stream) renew(now time.Time) {
	for _, h := range s.privates {
		is := h.ext.issue
		if is.running {
			continue
		}
		if !is.at.IsZero() && !is.at.After(now) {
			if s.deliverable(h) {
				s.issue(h, is.have)
				continue
			}
			is.at = time.Time{}
		}
		if !is.asked.IsZero() && !is.asked.After(now) {
			is.asked = time.Time{}
			s.mark(h) // the client may not want it any more
		}
		for _, at := range [...]time.Time{is.at, is.asked} {
			if !at.IsZero() {
				s.arm(at)
			}
		}
	}
}

// Reissue has Source.Issue called again for the private resources that match, of
// clients that are connected: after the issuer has changed, say. The source is
// told the version that the client has and may leave it at that.
func (srv *Server) Reissue(match func(*Client, Key) bool) {
	for _, s := range srv.list() {
		c := s.client.Load()
		s.mu.Lock()
		if !s.closed {
			for _, h := range s.privates {
				if s.deliverable(h) && match(c, h.e.key) {
					s.issue(h, h.held())
				}
			}
		}
		s.mu.Unlock()
	}
}
