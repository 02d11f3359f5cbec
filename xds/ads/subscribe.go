package ads

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// subscribe follows the rules of the delta protocol (Envoy's xds_protocol, "How
// the client specifies what resources to return"):
//
//   - a first request without names is a wildcard, for clusters and listeners, and
//     for virtual hosts, whose names Envoy does not know (seen with Envoy 1.40);
//   - "*" is a wildcard for any type; unsubscribing from it ends it;
//   - a name that is subscribed again is sent again;
//   - a name that is unsubscribed under a wildcard is answered, with the resource
//     or with its removal;
//   - initial_resource_versions count in the first request of a type only.
//
// A subscription to a virtual host's name without "/" is that of a route
// configuration to all of its virtual hosts.
func (s *stream) subscribe(r *request, now time.Time) {
	t := r.typ
	ts := &s.types[t]
	first := !ts.seen
	ts.seen = true
	if first && len(r.subscribe) == 0 && (t == Cluster || t == Listener || t == VirtualHost) {
		s.wildcard(t, "", r.wantsAnswer())
	}
	for _, name := range r.subscribe {
		switch {
		case name == "":
		case name == "*":
			s.wildcard(t, "", r.wantsAnswer())
		case t == VirtualHost && !strings.Contains(name, "/"):
			s.wildcard(t, name+"/", false)
		default:
			_, has := r.initial[name]
			s.subscribeName(t, name, first, first && has)
		}
	}
	if first {
		s.report(t, r.initial, now)
	}
	if r.excess > 0 {
		s.srv.stats.namesRefused.Add(int64(r.excess))
		s.warnFull(Ref{Type: t})
	}
	for _, name := range r.unsubscribe {
		switch {
		case name == "*":
			s.unwildcard(t, "")
		case t == VirtualHost && !strings.Contains(name, "/"):
			s.unwildcard(t, name+"/")
		default:
			s.unsubscribeName(t, name)
		}
	}
}

// subscribeName subscribes to a name; has says that the client reports to have it.
func (s *stream) subscribeName(t Type, name string, first, has bool) {
	h := s.hold(t, name)
	if h == nil {
		s.refuse(t, name, has)
		return
	}
	if !h.is(explicit) {
		s.types[t].subscribed++
	}
	h.flags |= explicit
	h.flags &^= told
	if !first && h.sent != nil && !h.sent.absent {
		h.flags |= resend
	}
	s.learn(h)
	s.mark(h)
}

func (s *stream) unsubscribeName(t Type, name string) {
	h := s.sets[t].get(name)
	if h == nil || !h.is(explicit) {
		return
	}
	h.flags &^= explicit | told
	s.types[t].subscribed--
	if !s.deliverable(h) {
		s.forget(h)
		return
	}
	if h.wanted() {
		h.flags |= resend
	}
	s.mark(h)
}

// wildcard subscribes to all resources of t whose names begin with prefix:
// those that the source names, and what the client's workload has asked for
// before. With answer the client waits for a response even if there are none.
func (s *stream) wildcard(t Type, prefix string, answer bool) {
	ts := &s.types[t]
	if prefix == "" {
		if ts.wildcard {
			return
		}
		ts.wildcard = true
	} else {
		if slices.Contains(ts.prefixes, prefix) {
			return
		}
		ts.prefixes = append(ts.prefixes, prefix)
	}
	ts.empty = answer
	for _, h := range slices.Clone(s.sets[t]) { // to mark one may hold another
		s.mark(h)
	}
	c := s.client.Load()
	s.holdAll(t, s.srv.source.Wildcard(c, t), prefix, wild)
	s.holdAll(t, s.srv.scopes.names(c.Workload, t), prefix, scope)
}

// holdAll has the client hold names that it did not name itself.
func (s *stream) holdAll(t Type, names []string, prefix string, reason uint16) {
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		h := s.hold(t, name)
		if h == nil {
			s.refuse(t, name, true)
			continue
		}
		h.flags |= reason
		s.mark(h)
	}
}

func (s *stream) unwildcard(t Type, prefix string) {
	ts := &s.types[t]
	if prefix == "" {
		ts.wildcard = false
	} else {
		ts.prefixes = slices.DeleteFunc(ts.prefixes, func(p string) bool { return p == prefix })
	}
	ts.empty = false
	for _, h := range slices.Clone(s.sets[t]) {
		if h.is(dead) || s.underWildcard(t, h.e.key.Name) {
			continue
		}
		h.flags &^= wild | scope
		if !h.is(explicit) {
			s.forget(h)
		}
	}
}

// forget notes that the client no longer has h, since it does not subscribe to
// it any more. It stays known while other resources refer to it.
func (s *stream) forget(h *held) {
	h.sent, h.acked = nil, nil
	h.flags &^= wild | scope | kept | reported | resend | solo | told
	if h.ext != nil {
		h.ext.reported = ""
	}
	s.mark(h)
}

// report takes what a reconnecting client says it has. Equal versions are not
// sent again. What nothing needs is held for a while, since the client may not
// have named yet what needs it, and then removed; what is sticky stays. What
// there is no room for is left to the client as it is.
func (s *stream) report(t Type, initial map[string]string, now time.Time) {
	byReport := false
	for _, name := range slices.Sorted(maps.Keys(initial)) {
		version := initial[name]
		h := s.sets[t].get(name)
		if h == nil && !s.underWildcard(t, name) {
			continue
		}
		if h = s.hold(t, name); h == nil {
			s.refuse(t, name, true)
			continue
		}
		h.more().reported = version
		if h.ext.reported == "" {
			h.ext.reported = foreignVersion.blob.id
		}
		h.flags |= reported
		byReport = true
		if h.e.sticky {
			h.flags |= kept
			s.learnReported(h)
		}
		s.mark(h)
	}
	if byReport {
		s.reportedUntil = now.Add(s.srv.cfg.ReportedGrace)
		s.arm(s.reportedUntil)
	}
}

// compare finds out whether the version that the client reports is one of ours.
// It reports false if that cannot be said yet.
func (s *stream) compare(h *held) bool {
	p := h.e.state.Load()
	if p == nil {
		return false
	}
	id := h.ext.reported
	h.ext.reported = ""
	if h.sent != nil {
		return true // sent meanwhile
	}
	h.sent, h.acked = foreignVersion, foreignVersion
	for _, v := range [...]*version{p.cur, p.good} {
		if v != nil && !v.absent && v.blob.id == id {
			h.sent, h.acked = v, v
			if h.e.accept(v) {
				s.retouch = append(s.retouch, h.e)
			}
			h.e.moved()
			break
		}
	}
	return true
}

// dropReported ends the grace of what is held by report alone. It goes on while
// the client keeps a version that this server did not make (since it rejected
// ours, say): what that refers to is not known.
func (s *stream) dropReported(now time.Time) {
	if s.unbuilt() && now.Before(s.reportedUntil.Add(2*s.srv.cfg.ReportedGrace)) {
		s.arm(now.Add(s.srv.cfg.ReportedGrace / 2))
		return
	}
	if s.holdsForeign() {
		s.reportedUntil = now.Add(s.srv.cfg.ReportedGrace)
		s.arm(s.reportedUntil)
		return
	}
	s.reportedUntil = time.Time{}
	for t := range s.sets {
		for _, h := range slices.Clone(s.sets[t]) {
			if h.is(reported) {
				h.flags &^= reported
				s.mark(h)
			}
		}
	}
}

// unbuilt reports that something the client is to have is still being made.
func (s *stream) unbuilt() bool {
	for t := range s.sets {
		for _, h := range s.sets[t] {
			if h.unbuilt() {
				return true
			}
		}
	}
	return false
}

// holdsForeign reports that the client keeps something that this server did not
// make, and does not replace.
func (s *stream) holdsForeign() bool {
	for t := range s.sets {
		for _, h := range s.sets[t] {
			if h.want() == foreignVersion {
				return true
			}
		}
	}
	return false
}

// wantsAnswer reports that a wildcard subscription is to be answered even if
// there is nothing to send: the first of a client that has nothing, which waits for
// it; and that to clusters of one that comes back, since Envoy's back-off between
// connections grows until a message arrives (1.40: seen to reach its maximum over
// a few restarts of the server in which nothing had changed).
func (r *request) wantsAnswer() bool { return len(r.initial) == 0 || r.typ == Cluster }
