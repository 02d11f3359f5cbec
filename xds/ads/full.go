package ads

// A client that wants more than Config.MaxHeld keeps its stream: only what is
// beyond that is refused, name by name. Envoy names all that it wants whenever it
// reconnects, so a stream that was ended for it could never come back.

// maxUntold bounds the names of a type that wait to be answered with "there is
// none" because there is no room for them. Those beyond it are not answered.
const maxUntold = chunkItems

// full reports that the client may hold no more of the type. Clusters, which an
// app asks for by the address, leave a quarter of the room to what they need.
func (s *stream) full(t Type) bool {
	limit := s.srv.cfg.MaxHeld
	if s.count >= limit {
		return true
	}
	return t == Cluster && len(s.sets[Cluster]) >= limit-limit/4
}

// refuse takes a name that the client is to have and cannot be given. It is told
// that there is none, but for what it has from an earlier stream or did not name
// itself (silent): that is left as it is. Nothing is kept of it.
func (s *stream) refuse(t Type, name string, silent bool) {
	s.srv.stats.namesRefused.Add(1)
	s.warnFull(Ref{t, name})
	if ts := &s.types[t]; !silent && len(ts.untold) < maxUntold {
		ts.untold = append(ts.untold, name)
	}
}

// warnFull says once for each stream that it is full.
func (s *stream) warnFull(r Ref) {
	if s.first(warnedFull) {
		s.srv.log.Error("a client holds too much to be given more; what it asks for from now on is refused",
			"client", s.label(), "limit", s.srv.cfg.MaxHeld, "next", r.String())
	}
}

// missRef notes a reference to a resource that the client cannot be given.
func (s *stream) missRef(r Ref) {
	s.srv.stats.refsRefused.Add(1)
	s.warnFull(r)
	if s.missing == nil {
		s.missing = make(map[Ref]int32)
	}
	s.missing[r]++
}

// unmissRef ends what missRef began.
func (s *stream) unmissRef(r Ref) {
	if s.missing[r]--; s.missing[r] <= 0 {
		delete(s.missing, r)
	}
}

// readmit gives what was let go to a reference that was refused before.
func (s *stream) readmit() {
	for r := range s.missing {
		if h := s.hold(r.Type, r.Name); h != nil {
			s.mark(h)
			return
		}
	}
}

// tellRefused composes a response of the names that were refused.
func (s *stream) tellRefused(t Type) *response {
	ts := &s.types[t]
	r := newResponse(t)
	r.removal, r.names = true, ts.untold
	for _, name := range r.names {
		r.size += len(name)
	}
	ts.untold = nil
	return r
}

// What is logged for a stream once only (first).
const (
	warnedFull uint8 = 1 << iota
	warnedSticky
	warnedRemoval
)

// first reports that the stream has not been warned of yet, and notes that it is.
func (s *stream) first(w uint8) bool {
	if s.warned&w != 0 {
		return false
	}
	s.warned |= w
	return true
}
