package ads

import (
	"slices"
	"time"
)

// answer takes the client's acknowledgement or rejection of a response. Envoy
// answers the responses of a type in order, so one that is passed over counts as
// acknowledged. An answer to nothing that is under way is ignored.
func (s *stream) answer(r *request, now time.Time) {
	found := slices.IndexFunc(s.inflight, func(x *response) bool { return x.nonce == r.nonce && x.typ == r.typ })
	if found < 0 {
		s.srv.stats.strayAnswers.Add(1)
		return
	}
	rest := s.inflight[:0]
	var answered []*response
	for i, x := range s.inflight {
		if x.typ == r.typ && i <= found {
			answered = append(answered, x)
		} else {
			rest = append(rest, x)
		}
	}
	clear(s.inflight[len(rest):])
	s.inflight = rest
	if len(rest) == 0 {
		s.inflight = nil
		s.ackSince.Store(0)
	} else {
		s.ackSince.Store(s.srv.clock(rest[0].sentAt))
	}
	for i, x := range answered {
		if i == len(answered)-1 && r.rejected {
			s.reject(x, r.reason, now)
		} else {
			s.accept(x, now)
		}
	}
}

func (s *stream) accept(x *response, now time.Time) {
	s.types[x.typ].acked++
	s.srv.stats.acks.Add(1)
	s.srv.stats.ackNanos.Add(int64(now.Sub(x.sentAt)))
	for _, it := range x.items {
		h := it.h
		if h.is(dead) || h.sent == nil {
			continue // unsubscribed meanwhile
		}
		if x.typ == Cluster && !it.v.absent && (h.acked == nil || h.acked == foreignVersion) {
			s.clusterAck = now
		}
		h.acked = it.v
		s.settle(h, it.v)
		if h.sent != it.v && h.sent.same(it.v) {
			s.adopt(h, h.sent)
		}
		if x.removal {
			h.e.moved()
			if !h.wanted() && h.removing() {
				s.drop(h)
			}
			continue
		}
		if h.ext != nil && h.ext.reason != "" && h.ext.rejected != it.v.blob.id {
			h.ext.rejected, h.ext.reason = "", ""
		}
		if h.e.accept(it.v) {
			s.retouch = append(s.retouch, h.e)
		}
		h.e.moved()
	}
}
