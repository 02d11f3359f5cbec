package ads

// CloseWhere closes the streams of the clients that match: their pods are gone.
// It returns how many there were.
func (srv *Server) CloseWhere(match func(*Client) bool) int {
	n := 0
	for _, s := range srv.list() {
		if match(s.client.Load()) {
			n++
			s.cut()
		}
	}
	return n
}

// UpdateClient calls update with every client. If it returns another one (not
// nil, not the same pointer), that takes the place of the old: all that the
// stream holds is resolved again, and what differs is sent. It returns how many
// clients changed. update must not modify its argument.
func (srv *Server) UpdateClient(update func(*Client) *Client) int {
	n := 0
	for _, s := range srv.list() {
		old := s.client.Load()
		if c := update(old); c != nil && c != old {
			n++
			s.setClient(c)
		}
	}
	return n
}

func (s *stream) setClient(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.client.Store(c)
	for t := range s.sets {
		for _, h := range append([]*held(nil), s.sets[t]...) {
			s.reresolve(h)
		}
	}
	for t := range numTypes {
		s.renameWildcard(c, t)
	}
	s.kick()
}

// reresolve moves h to the entry that the client gets under its name now.
func (s *stream) reresolve(h *held) {
	old := h.e
	if h.is(dead) {
		return
	}
	own := 0
	if old.sticky && !h.is(spill) {
		own = 1
	}
	s.sticky -= own // for h itself does not stand in its own way
	e, over := s.entryOf(old.key.Type, old.key.Name)
	s.sticky += own
	if e == old {
		s.srv.cache.release(e) // h has it already
		return
	}
	if old.local && e.local && old.private == e.private {
		if e.private {
			s.issue(h, h.held()) // made for this client: the source says whether it is still good
		}
		return
	}
	s.leave(h)
	h.e = e
	h.flags = h.flags&^spill | over
	s.join(h)
	h.flags &^= told
	s.mark(h)
}

// renameWildcard follows a change of what a wildcard subscription holds.
func (s *stream) renameWildcard(c *Client, t Type) {
	if !s.types[t].wildcard && len(s.types[t].prefixes) == 0 {
		return
	}
	names := make(map[string]bool)
	for _, name := range s.srv.source.Wildcard(c, t) {
		if !s.underWildcard(t, name) {
			continue
		}
		names[name] = true
		h, err := s.hold(t, name)
		if err != nil {
			s.srv.log.Error("a client holds too much to be given what its wildcard names", "client", s.label(), "error", err)
			continue
		}
		h.flags |= wild
		s.mark(h)
	}
	for _, h := range append([]*held(nil), s.sets[t]...) {
		if h.is(wild) && !names[h.e.key.Name] {
			h.flags &^= wild
			s.mark(h)
		}
	}
}
