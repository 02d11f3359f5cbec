package ads

import "slices"

// flags of a held resource.
const (
	// Why the client is to have it.
	explicit uint16 = 1 << iota // it subscribed to the name
	wild                        // Source.Wildcard names it
	scope                       // its workload has asked for it before
	kept                        // sticky, and the client has had it
	reported                    // the client reports it from an earlier stream; for a while

	// What is to be done.
	dirty  // in stream.dirty
	resend // send it though the client has this version
	solo   // send it alone, to find out which of several was rejected
	told   // the client was told that there is none
	dead   // no longer in the stream
	spill  // its entry is the stand-in of Overflower
)

const reasons = explicit | wild | scope | kept | reported

// held is what a stream knows about one resource: the link between stream and
// entry. There are some forty per proxy, so it is small. All under stream.mu
// but for pos.
type held struct {
	s   *stream // set once
	e   *entry
	ext *heldExt // what few need; nil otherwise

	// sent is the last version that was sent, or that the client reported; nil if
	// none.
	sent *version
	// acked is what the client has for sure: the last version it acknowledged.
	acked *version

	pos   int32 // in e.holders, under e.mu
	refs  int32 // resources of this stream whose Refs name this one
	flags uint16
}

// heldExt is the part of held that most do without.
type heldExt struct {
	// counted are the versions whose Refs are counted for the stream, in the order
	// in which they were to be sent: what the client has, what is under way, what
	// is to come.
	counted []*version
	// reported is the version that a reconnecting client says it has, until it can
	// be compared.
	reported string
	// rejected is the version that the client rejected, and why.
	rejected, reason string
	// since is when the wait for others began (Built.After), and for which version;
	// passed is the version for which it has been given up.
	since  int64 // Server.clock; 0: not waiting
	waits  *version
	passed *version
	issue  *issuing // of a private resource
}

func (h *held) more() *heldExt {
	if h.ext == nil {
		h.ext = new(heldExt)
	}
	return h.ext
}

func (h *held) ref() Ref { return Ref{h.e.key.Type, h.e.key.Name} }

func (h *held) is(f uint16) bool { return h.flags&f != 0 }

// wanted reports that the client is to have the resource, if there is one.
func (h *held) wanted() bool { return h.flags&reasons != 0 || h.refs > 0 }

// has reports that the client has, or may have, some version of it.
func (h *held) has() bool {
	return h.sent != nil && !h.sent.absent || h.acked != nil && !h.acked.absent
}

// removing reports that the last thing the client was told is that there is none.
func (h *held) removing() bool { return h.sent != nil && h.sent.absent }

// unbuilt reports that it is still being made.
func (h *held) unbuilt() bool { return h.e.state.Load() == nil && !h.e.failed.Load() }

// rejects reports that the client has rejected v.
func (h *held) rejects(v *version) bool {
	return h.ext != nil && h.ext.reason != "" && h.ext.rejected == v.blob.id
}

// want returns the version that the client is to have: the newest, unless that
// is withheld from it or from everyone. Then it is the last good one, or if none
// is known what the client has: the server may have started after that was made.
// nil means to leave it as it is: nothing has been built, or there is no other.
func (h *held) want() *version {
	if !h.wanted() {
		return absentVersion
	}
	p := h.e.state.Load()
	if p == nil {
		return nil
	}
	v := p.cur
	switch {
	case !p.bad:
	case p.good != nil:
		v = p.good
	case h.sent != nil && !h.sent.absent:
		return h.sent // it has it, or is about to say whether it takes it
	case h.acked != nil && !h.acked.absent:
		return h.acked
	case !h.e.sticky:
		return absentVersion
		// What is sticky is answered even so: this client may well take it.
	}
	switch {
	case !h.rejects(v):
		return v
	case h.acked != nil || h.e.sticky || h.e.private:
		return h.acked
	}
	return absentVersion
}

// needs returns the version whose Refs the client needs: that of want. What one
// that this server did not make refers to is not known; the newest is as near to
// it as can be.
func (h *held) needs() *version {
	w := h.want()
	if w == foreignVersion {
		return h.e.state.Load().cur // not nil, or want had returned nil
	}
	return w
}

// heldSet is the resources of a stream of one type, by name.
type heldSet []*held

func (set heldSet) search(name string) (int, bool) {
	return slices.BinarySearchFunc(set, name, func(h *held, name string) int {
		switch {
		case h.e.key.Name < name:
			return -1
		case h.e.key.Name > name:
			return 1
		}
		return 0
	})
}

func (set heldSet) get(name string) *held {
	if i, ok := set.search(name); ok {
		return set[i]
	}
	return nil
}
