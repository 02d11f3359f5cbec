package ads

import "time"

const (
	// chunkBytes is where a response is full: big enough to be efficient, small
	// enough that a client which is slow to read makes progress.
	chunkBytes = 256 << 10
	chunkItems = 1024
)

// push is the sender: it sends until there is nothing to send. At most one per
// stream is at work (stream.pushing).
func (s *stream) push() {
	defer s.srv.wg.Done()
	defer s.srv.sent()
	for {
		now := time.Now()
		s.mu.Lock()
		r := s.next(now)
		if r == nil {
			s.pushing = false
			s.checkSynced()
			s.unlock()
			return
		}
		s.mu.Unlock()
		s.sendSince.Store(s.srv.clock(now))
		err := s.wire.SendMsg(r)
		s.sendSince.Store(0)
		r.bufs = nil // the record stays until the answer comes, the bytes need not
		if err != nil {
			s.mu.Lock()
			s.pushing, s.closed = false, true
			s.unlock()
			s.cut()
			return
		}
	}
}

// next composes the response to send now: additions in the order of the types;
// if there are none, removals in reverse. nil if there is nothing to send.
func (s *stream) next(now time.Time) *response {
	if s.closed {
		return nil
	}
	var rest left
	for t := range numTypes {
		if r := s.additions(t, now, &rest); r != nil {
			return s.commit(r, now)
		}
	}
	if !rest.removals {
		s.removalSince = time.Time{}
		return nil
	}
	if (rest.additions || s.additionsInFlight()) && !s.removalOverdue(now) {
		return nil
	}
	for t := numTypes; t > 0; t-- {
		if r := s.removals(t-1, now); r != nil {
			return s.commit(r, now)
		}
	}
	return nil
}

// left is what a pass over the dirty sets had to leave.
type left struct {
	additions bool // that wait for others, or for the client
	removals  bool
}

// additions composes a response of what is to be added, updated, or answered
// with "there is none".
func (s *stream) additions(t Type, now time.Time, rest *left) (r *response) {
	list := s.dirty[t]
	ts := &s.types[t]
	if len(list) == 0 && !ts.empty && len(ts.untold) == 0 {
		return nil
	}
	// Envoy takes the first response of a type for all that there is, and goes on.
	if s.inFlight(t) >= t.window() || ts.sent == 0 && s.typeUnbuilt(t) || s.overtakes(t) {
		rest.additions = true
		return nil
	}
	waits := false
	s.dirty[t] = nil // planning may mark others
	keep := list[:0]
	full := false
	for i, h := range list {
		if full {
			keep = append(keep, list[i:]...)
			break
		}
		switch do, v := s.plan(h, now); do {
		case doNothing:
			h.flags &^= dirty
		case doRemove:
			keep = append(keep, h)
			rest.removals = true
		case doWait:
			keep = append(keep, h)
			waits = true
		case doSend, doTell:
			if r == nil {
				r = newResponse(t)
				r.removal = do == doTell
			}
			if r.removal != (do == doTell) || len(r.items) > 0 && h.is(solo) {
				keep = append(keep, h)
				continue
			}
			full = s.include(r, h, v)
		}
	}
	clear(list[len(keep):])
	s.dirty[t] = append(keep, s.dirty[t]...)
	if len(s.dirty[t]) == 0 && cap(s.dirty[t]) > 4 {
		s.dirty[t] = nil
	}
	if r == nil && len(ts.untold) > 0 {
		r = s.tellRefused(t)
	}
	if r == nil && ts.empty && !waits {
		r = newResponse(t)
	}
	rest.additions = rest.additions || waits
	return r
}

// include puts h into r. It reports whether r is full.
func (s *stream) include(r *response, h *held, v *version) bool {
	alone := h.is(solo)
	h.flags &^= dirty | resend | solo
	if r.removal {
		h.flags |= told
		h.sent = absentVersion
		r.remove(h)
	} else {
		if h.e.sticky {
			h.flags |= kept
		}
		r.add(h, v)
		if r.typ == Cluster {
			s.rewarm(v)
		}
		if h.e.private {
			v = h.bare(v)
			r.items[len(r.items)-1].v = v
		}
		h.sent = v
		if x := h.ext; x != nil {
			x.waits, x.passed, x.since = nil, nil, 0
		}
	}
	return alone || r.size >= chunkBytes || len(r.items) >= chunkItems
}

// rewarm has the endpoints of a cluster sent once more, after the cluster: Envoy
// waits for them anew with each new or changed cluster, but asks only for names
// that no cluster of its has yet. While it waits it takes no clusters at all, and
// sends no request for any (seen with Envoy 1.40). A client that reports after a
// reconnect what it has is no exception.
func (s *stream) rewarm(v *version) {
	for _, r := range v.refs {
		if r.Type != Endpoint {
			continue
		}
		if h := s.get(r); h != nil {
			h.flags |= resend
			s.mark(h)
		}
	}
}

// removals composes a response of what is to be removed.
func (s *stream) removals(t Type, now time.Time) *response {
	var r *response
	list := s.dirty[t]
	s.dirty[t] = nil
	keep := list[:0]
	for _, h := range list {
		do, _ := s.plan(h, now)
		switch {
		case do == doNothing:
			h.flags &^= dirty
		case do == doRemove && (r == nil || len(r.items) < chunkItems):
			if r == nil {
				r = newResponse(t)
			}
			h.flags &^= dirty
			h.sent = absentVersion
			r.remove(h)
		default:
			keep = append(keep, h)
		}
	}
	clear(list[len(keep):])
	s.dirty[t] = append(keep, s.dirty[t]...)
	return r
}

// removalOverdue bounds the wait of removals for additions.
func (s *stream) removalOverdue(now time.Time) bool {
	if s.removalSince.IsZero() {
		s.removalSince = now
	}
	due := s.removalSince.Add(s.srv.cfg.AfterTimeout)
	if now.Before(due) {
		s.arm(due)
		return false
	}
	return true
}

func (s *stream) inFlight(t Type) (n int) {
	for _, r := range s.inflight {
		if r.typ == t {
			n++
		}
	}
	return n
}

func (s *stream) additionsInFlight() bool {
	for _, r := range s.inflight {
		if !r.removal {
			return true
		}
	}
	return false
}

// overtakes reports that a listener, a route or a virtual host would overtake
// something still being made that it may refer to.
func (s *stream) overtakes(t Type) bool {
	for u := Cluster; u < t && t >= Listener; u++ {
		if u != Endpoint && s.typeUnbuilt(u) {
			return true
		}
	}
	return false
}

// typeUnbuilt reports that something of the type is still being made for the client.
func (s *stream) typeUnbuilt(t Type) bool {
	for _, h := range s.sets[t] {
		if h.unbuilt() && !h.e.private && h.wanted() && s.deliverable(h) {
			return true
		}
	}
	return false
}

// commit gives r its nonce and notes that it is under way.
func (s *stream) commit(r *response, now time.Time) *response {
	s.nonce++
	r.seal(s.nonce, now)
	ts := &s.types[r.typ]
	ts.empty = false
	ts.sent++
	if len(s.inflight) == 0 {
		s.ackSince.Store(s.srv.clock(now))
	}
	s.inflight = append(s.inflight, r)
	c := &s.srv.stats
	c.pushes.Add(1)
	c.bytes.Add(int64(r.bufs.Len()))
	if r.removal {
		c.removals.Add(int64(len(r.items) + len(r.names)))
	} else {
		c.resources.Add(int64(len(r.items)))
	}
	return r
}

// action is what is to be done with a held resource.
type action uint8

const (
	doNothing action = iota
	doSend           // the version
	doTell           // that there is none: it was asked for and the client has none
	doRemove         // what the client has
	doWait           // for another resource
)

// plan says what is to be done with h now.
func (s *stream) plan(h *held, now time.Time) (action, *version) {
	if h.is(dead) {
		return doNothing, nil
	}
	if h.ext != nil && h.ext.reported != "" && !h.e.private && !s.compare(h) {
		return doNothing, nil
	}
	s.recount(h)
	if !h.wanted() {
		return s.planUnwanted(h), nil
	}
	if !s.deliverable(h) {
		return doNothing, nil
	}
	if h.e.private && h.e.state.Load() == nil {
		s.issueFirst(h, now)
		return doNothing, nil
	}
	w := h.want()
	switch {
	case w == nil || w == foreignVersion:
		return doNothing, nil
	case w.absent:
		return s.planAbsent(h), nil
	case !h.is(resend) && h.sent.same(w):
		s.adopt(h, w)
		return doNothing, nil
	case !(h.is(resend) && h.acked.same(w)) && s.blocked(h, w, now):
		return doWait, nil
	case w.blob.buf == nil: // private, and sent before: nobody has the bytes
		s.issueAsked(h, "", now)
		return doNothing, nil
	}
	return doSend, w
}

// planUnwanted: nothing needs h any more.
func (s *stream) planUnwanted(h *held) action {
	switch {
	case !s.deliverable(h) || !h.has():
		s.drop(h)
		return doNothing
	case h.removing():
		return doNothing // the removal is under way
	}
	return doRemove
}

// planAbsent: there is no such resource.
func (s *stream) planAbsent(h *held) action {
	switch {
	case h.has() && h.is(kept):
		s.srv.stats.stickyLost.Add(1)
		return doNothing
	case h.removing() && h.has():
		return doNothing
	case h.has():
		return doRemove
	case h.is(explicit) && !h.is(told):
		return doTell
	}
	return doNothing
}

// adopt notes that the client has w, though not by this pointer or this stream.
func (s *stream) adopt(h *held, w *version) {
	acked := h.acked.same(w)
	h.sent = w
	if acked {
		h.acked = w
		s.settle(h, w)
	}
}
