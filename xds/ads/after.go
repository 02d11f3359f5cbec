package ads

import "time"

// maxAfterDepth bounds the chain of waits that is looked at.
const maxAfterDepth = 3

// blocked reports that the version w of h has to wait until the client has
// acknowledged others (Built.After). The wait is bounded by Config.AfterTimeout,
// once for each link of a chain of waits. Nothing else of the stream waits.
func (s *stream) blocked(h *held, w *version, now time.Time) bool {
	if len(w.after) == 0 || h.ext != nil && h.ext.passed == w || s.ready(w, now) {
		return false
	}
	x := h.more()
	if x.waits != w {
		x.waits, x.since = w, s.srv.clock(now)
	}
	depth := s.waitDepth(w, now, 1)
	left := time.Duration(depth)*s.srv.cfg.AfterTimeout - s.srv.elapsed(now, x.since)
	if left > 0 {
		s.arm(now.Add(left))
		return true
	}
	x.passed = w
	s.srv.stats.afterTimeouts.Add(1)
	if now.Sub(s.afterWarned) > time.Minute { // one of many, as a rule
		s.afterWarned = now
		s.srv.log.Warn("a resource was sent though the client has not acknowledged what should come before it",
			"client", s.label(), "resource", h.e.key.String())
	}
	return false
}

// ready reports that the client has everything that must come before w.
func (s *stream) ready(w *version, now time.Time) bool {
	awaited := s.awaitsSubscriptions(w, now)
	for _, r := range w.after {
		if !s.satisfied(r, awaited) {
			return false
		}
	}
	return true
}

// awaitsSubscriptions reports that the client may still be about to subscribe to
// names that it met in the clusters which come before w: it does so right after
// it has taken them.
func (s *stream) awaitsSubscriptions(w *version, now time.Time) bool {
	if now.Sub(s.clusterAck) >= s.srv.cfg.AfterTimeout {
		return false
	}
	for _, r := range w.after {
		if r.Type == Cluster {
			return true
		}
	}
	return false
}

func (s *stream) satisfied(r Ref, awaited bool) bool {
	if r.Type >= numTypes {
		return true
	}
	c := s.get(r)
	if c == nil || !s.deliverable(c) {
		return !awaited || !r.Type.waitsForClient()
	}
	w := c.want()
	if w == nil {
		return !c.unbuilt() // withheld, or it cannot be built
	}
	return w.absent || w == foreignVersion || c.acked.same(w)
}

// waitDepth is the length of the chain of waits that w is at the end of.
func (s *stream) waitDepth(w *version, now time.Time, depth int) int {
	if depth >= maxAfterDepth {
		return depth
	}
	deepest := depth
	for _, r := range w.after {
		if r.Type >= numTypes {
			continue
		}
		c := s.get(r)
		if c == nil || !s.deliverable(c) {
			continue
		}
		cw := c.want()
		if cw == nil || cw.absent || c.sent.same(cw) || len(cw.after) == 0 || s.ready(cw, now) {
			continue
		}
		deepest = max(deepest, s.waitDepth(cw, now, depth+1))
	}
	return deepest
}
