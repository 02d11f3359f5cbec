package ads

import (
	"maps"
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// RefreshPods tells the server which pods changed or are gone. Of their clients,
// if connected, Config.Refresh is asked: the stream of one that is gone is closed;
// for one that changed all that the stream holds is resolved again, and what
// differs is sent. The work follows the number of pods that are named.
func (srv *Server) RefreshPods(pods ...mesh.Name) {
	for _, s := range srv.streamsOf(pods) {
		if !s.refresh() {
			s.cut()
		}
	}
}

// refresh brings the client up to date. It reports false if it is gone.
func (s *stream) refresh() bool {
	if s.srv.cfg.Refresh == nil {
		return true
	}
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	old := s.client.Load()
	c := s.srv.cfg.Refresh(old)
	if c != nil && c != old {
		s.setClient(c)
	}
	return c != nil
}

func (s *stream) setClient(c *Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.client.Store(c)
	for t := range s.sets {
		for _, h := range slices.Clone(s.sets[t]) {
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
	}
	s.holdAll(t, slices.Sorted(maps.Keys(names)), "", wild)
	for _, h := range slices.Clone(s.sets[t]) {
		if h.is(wild) && !names[h.e.key.Name] {
			h.flags &^= wild
			s.mark(h)
		}
	}
}
