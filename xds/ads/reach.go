package ads

import "slices"

// A client holds what it subscribes to and what these resources refer to
// (Built.Refs), and so on. The references are counted, per version: those of a
// new version count from the moment that it is to be sent, those of the old one
// until the client has acknowledged the new. So what is gained is sent before,
// and what is lost is removed after. References must not form a circle: nothing
// in it would be let go before the stream ends.

// hold returns the record of a resource, making it if need be. A new one has no
// reason to be held yet: the caller adds one and marks it. nil means that the
// client holds too much already (full).
func (s *stream) hold(t Type, name string) *held {
	i, ok := s.sets[t].search(name)
	if ok {
		return s.sets[t][i]
	}
	if s.full(t) {
		return nil
	}
	e, over := s.entryOf(t, name)
	h := &held{s: s, e: e, flags: over}
	if n := s.missing[h.ref()]; n > 0 {
		h.refs = n
		delete(s.missing, h.ref())
	}
	s.sets[t] = slices.Insert(s.sets[t], i, h)
	s.count++
	s.join(h)
	return h
}

// entryOf resolves a name for the client, and takes hold of the entry. over is
// spill if it is a stand-in.
func (s *stream) entryOf(t Type, name string) (e *entry, over uint16) {
	c := s.client.Load()
	k, ok := s.srv.source.Resolve(c, t, name)
	if !ok || k.Type != t || k.Name != name {
		e = &entry{key: Key{Type: t, Name: name}, local: true}
		e.state.Store(&published{cur: absentVersion, good: absentVersion})
		return e, 0
	}
	if s.srv.source.Private(k) {
		return &entry{key: k, private: true, local: true}, 0
	}
	if s.srv.overflow != nil && s.sticky >= s.srv.cfg.StickyLimit && s.srv.source.Sticky(k) {
		s.srv.stats.overflows.Add(1)
		if s.first(warnedSticky) {
			s.srv.log.Warn("a client calls more addresses than it may hold; calls to further pods with a sidecar are refused. "+
				"If it is meant to call every pod (to read metrics, say), take those calls out of its redirection",
				"client", s.label(), "limit", s.srv.cfg.StickyLimit, "next", name)
		}
		if o := s.srv.overflow(k); o.Type == t && o.Name == name {
			k, over = o, spill
		}
	}
	e, hit := s.srv.cache.acquire(k)
	if hit {
		s.srv.stats.cacheHits.Add(1)
	} else {
		s.srv.stats.cacheMisses.Add(1)
	}
	return e, over
}

// join makes h a holder of its entry.
func (s *stream) join(h *held) {
	e := h.e
	if e.sticky && !h.is(spill) {
		s.sticky++
	}
	e.attach(h)
	switch {
	case e.private:
		s.privates = append(s.privates, h)
		h.more().issue = &issuing{}
	case !e.local:
		s.srv.builder.ensure(e)
	}
}

// leave ends what join began.
func (s *stream) leave(h *held) {
	e := h.e
	if e.sticky && !h.is(spill) {
		s.sticky--
	}
	e.detach(h)
	if e.private {
		s.privates = slices.DeleteFunc(s.privates, func(p *held) bool { return p == h })
		h.ext.issue.cancel()
		h.ext.issue = nil
	}
	if !e.local {
		s.srv.cache.release(e)
	}
}

// drop lets go of h altogether.
func (s *stream) drop(h *held) {
	if h.is(dead) {
		return
	}
	h.flags |= dead
	set := s.sets[h.e.key.Type]
	if i, ok := set.search(h.e.key.Name); ok && set[i] == h {
		s.sets[h.e.key.Type] = slices.Delete(set, i, i+1)
		s.count--
	}
	if h.ext != nil {
		counted := h.ext.counted
		h.ext.counted = nil
		for _, v := range counted {
			s.dropRefs(v)
		}
	}
	s.leave(h)
	s.readmit()
}

// recount notes which version the client is to have, and counts what it refers to.
func (s *stream) recount(h *held) {
	w := h.needs()
	if w == nil || h.is(dead) {
		return
	}
	var last *version
	if h.ext != nil && len(h.ext.counted) > 0 {
		last = h.ext.counted[len(h.ext.counted)-1]
	}
	if last == w || last == nil && len(w.refs) == 0 {
		return
	}
	x := h.more()
	superseded := last != nil && last != h.sent && last != h.acked
	if superseded {
		x.counted = x.counted[:len(x.counted)-1]
	}
	if n := len(x.counted); n == 0 || x.counted[n-1] != w {
		x.counted = append(x.counted, w)
		s.addRefs(w)
	}
	if superseded {
		s.dropRefs(last)
	}
}

// settle notes that the client has v now: what came before it counts no more.
func (s *stream) settle(h *held, v *version) {
	if h.ext == nil || len(h.ext.counted) == 0 {
		return
	}
	list := h.ext.counted
	i := len(list) - 1
	for i >= 0 && list[i] != v && !(list[i].absent && v.absent) {
		i--
	}
	if i < 0 || i == 0 && len(list) > 1 {
		return
	}
	h.ext.counted = append([]*version(nil), list[i:]...)
	if len(h.ext.counted) == 1 && len(v.refs) == 0 {
		h.ext.counted = nil
	}
	for _, old := range list[:i] {
		s.dropRefs(old)
	}
}

func (s *stream) addRefs(v *version) {
	for _, r := range v.refs {
		if r.Type >= numTypes {
			continue
		}
		c := s.hold(r.Type, r.Name)
		if c == nil {
			s.missRef(r)
			continue
		}
		c.refs++
		s.mark(c)
	}
}

func (s *stream) dropRefs(v *version) {
	for _, r := range v.refs {
		if r.Type >= numTypes {
			continue
		}
		c := s.get(r)
		if c == nil {
			s.unmissRef(r)
			continue
		}
		if c.refs--; c.refs == 0 {
			s.mark(c)
		}
	}
}
