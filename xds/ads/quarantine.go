package ads

import "time"

// privateRetry is how long after a rejection a private resource is made anew.
const privateRetry = 30 * time.Second

// reject takes the rejection of a response. Envoy does not say which of several
// resources it was, and may have taken the others: each is sent again alone.
func (s *stream) reject(x *response, reason string, now time.Time) {
	s.types[x.typ].nacked++
	s.srv.stats.nacks.Add(1)
	if reason == "" {
		reason = "the client gave no reason"
	}
	if x.removal || len(x.items) == 0 {
		// There is nothing to keep back: the client is taken to have done it.
		s.srv.log.Error("a client rejected a removal", "client", s.label(), "type", x.typ.String(), "reason", reason)
		s.accept(x, now)
		return
	}
	for _, it := range x.items {
		h := it.h
		if h.is(dead) || !h.sent.same(it.v) {
			continue // gone, or something newer is under way and speaks for itself
		}
		h.sent = h.acked
		if len(x.items) == 1 {
			s.withhold(h, it.v, reason, now)
		} else {
			h.flags |= solo | resend
		}
		s.mark(h)
	}
}

// withhold keeps v from the client from now on, and from everyone if nobody has
// acknowledged it: its predecessor stays. New content ends that.
func (s *stream) withhold(h *held, v *version, reason string, now time.Time) {
	x := h.more()
	x.rejected, x.reason = v.blob.id, reason
	everyone := h.e.reject(v)
	if h.e.private {
		x.issue.at = now.Add(privateRetry)
		s.arm(x.issue.at)
	}
	if everyone {
		s.srv.stats.quarantined.Add(1)
		s.retouch = append(s.retouch, h.e)
	}
	if everyone || h.e.private {
		s.srv.log.Error("a client rejected a resource; it is sent to nobody until its content changes, the last good version stays",
			"client", s.label(), "resource", h.e.key.String(), "version", v.blob.id, "reason", reason)
		return
	}
	s.srv.stats.withheld.Add(1)
	s.srv.log.Debug("a client rejected a resource; it keeps the last good version",
		"client", s.label(), "resource", h.e.key.String(), "version", v.blob.id, "reason", reason)
}
