package ads

import (
	"context"
	"log/slog"
	"time"
)

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
		level := slog.LevelDebug
		if s.first(warnedRemoval) {
			level = slog.LevelError
		}
		s.srv.log.Log(context.Background(), level, "a client rejected a removal; more of that from it is logged at debug level",
			"client", s.label(), "type", x.typ.String(), "reason", reason)
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

// withhold keeps v from the client from now on, and from everyone once a second
// pod has rejected it and nobody acknowledged it: its predecessor stays. New
// content ends that. What one client does again and again is logged once.
func (s *stream) withhold(h *held, v *version, reason string, now time.Time) {
	x := h.more()
	x.rejected, x.reason = v.blob.id, reason
	if h.e.private {
		x.issue.at = now.Add(privateRetry)
		s.arm(x.issue.at)
	}
	level, text := slog.LevelDebug, "a client rejected a resource; it keeps what it has"
	switch h.e.reject(v, s.pod()) {
	case rejectedByTwo:
		s.srv.stats.quarantined.Add(1)
		s.retouch = append(s.retouch, h.e)
		level, text = slog.LevelError, "a second client rejected a resource; it is sent to nobody until its content changes, the last good version stays"
	case rejectedFirst:
		level, text = slog.LevelError, "a client rejected a resource that nobody has acknowledged; it keeps what it has"
		fallthrough
	case rejectedAlone:
		s.srv.stats.withheld.Add(1)
	}
	s.srv.log.Log(context.Background(), level, text,
		"client", s.label(), "resource", h.e.key.String(), "version", v.blob.id, "reason", reason)
}
