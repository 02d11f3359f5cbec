package ads

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// ProxyStatus is one connected client, in short.
type ProxyStatus struct {
	ID       uint64       `json:"id"` // of the stream
	Node     string       `json:"node,omitempty"`
	Identity string       `json:"identity"`
	Pod      string       `json:"pod,omitempty"`
	Workload string       `json:"workload,omitempty"`
	Remote   string       `json:"remote"`
	Since    time.Time    `json:"since"`
	Types    []TypeStatus `json:"types,omitempty"`
	// Synced reports that it has everything that it is to have; Rejects that it
	// has rejected something of that.
	Synced  bool `json:"synced"`
	Rejects bool `json:"rejects,omitempty"`
}

// TypeStatus counts what a client has of one type.
type TypeStatus struct {
	Type       string `json:"type"` // "CDS"
	Wildcard   bool   `json:"wildcard,omitempty"`
	Subscribed int    `json:"subscribed"` // names
	Held       int    `json:"held"`
	Sent       uint32 `json:"sent"` // responses
	Acked      uint32 `json:"acked"`
	Nacked     uint32 `json:"nacked"`
}

// ResourceStatus is one resource of a client.
type ResourceStatus struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Variant string `json:"variant,omitempty"`
	// Version is the newest, Sent what was sent last, Acked what the client has. ""
	// means none, "?" one that this server did not make.
	Version string `json:"version"`
	Sent    string `json:"sent"`
	Acked   string `json:"acked"`
	// Rejected is a version that the client does not take, for Reason.
	Rejected string `json:"rejected,omitempty"`
	Reason   string `json:"reason,omitempty"`
	// Quarantined is that of Rollout.
	Quarantined bool     `json:"quarantined,omitempty"`
	Why         []string `json:"why"` // it is held
}

// ProxyDetail is one connected client with all that it holds.
type ProxyDetail struct {
	ProxyStatus
	Resources []ResourceStatus `json:"resources"`
}

// ErrNoProxy says that there is no such stream (any more).
var ErrNoProxy = errors.New("no proxy is connected under this id")

// Proxies lists the connected clients, the oldest first.
func (srv *Server) Proxies() []ProxyStatus {
	var list []ProxyStatus
	for _, s := range srv.list() {
		s.mu.Lock()
		list = append(list, s.status())
		s.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b ProxyStatus) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Proxy describes one client. The error is ErrNoProxy.
func (srv *Server) Proxy(id uint64) (ProxyDetail, error) {
	s, err := srv.find(id)
	if err != nil {
		return ProxyDetail{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := ProxyDetail{ProxyStatus: s.status()}
	for t := range s.sets {
		for _, h := range s.sets[t] {
			d.Resources = append(d.Resources, h.status())
		}
	}
	return d, nil
}

// Config returns the resources as the client last got them, in the order of the
// types and by name. Of a private one there is only name and version: its
// content is kept by no one. The error is ErrNoProxy, or says what cannot be read.
func (srv *Server) Config(id uint64) ([]*discovery.Resource, error) {
	s, err := srv.find(id)
	if err != nil {
		return nil, err
	}
	var list []*discovery.Resource
	var frames [][]byte
	s.mu.Lock()
	for t := range s.sets {
		for _, h := range s.sets[t] {
			v := h.sent
			if v == nil || v.absent || v == foreignVersion {
				continue
			}
			r := &discovery.Resource{Name: h.e.key.Name, Version: v.blob.id}
			var frame []byte
			if v.blob.buf != nil && !h.e.private {
				frame = v.blob.buf.ReadOnlyData()
			} else {
				r.Resource = &anypb.Any{TypeUrl: typeURLs[t]}
			}
			list, frames = append(list, r), append(frames, frame)
		}
	}
	s.mu.Unlock()
	for i, frame := range frames {
		if frame == nil {
			continue
		}
		if err := decodeFrame(frame, list[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", list[i].GetName(), err)
		}
	}
	return list, nil
}

// decodeFrame undoes encodeResource.
func decodeFrame(frame []byte, r *discovery.Resource) error {
	_, _, n := protowire.ConsumeTag(frame)
	if n < 0 {
		return protowire.ParseError(n)
	}
	body, m := protowire.ConsumeBytes(frame[n:])
	if m < 0 {
		return protowire.ParseError(m)
	}
	return proto.Unmarshal(body, r)
}

func (srv *Server) find(id uint64) (*stream, error) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s := srv.streams[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %d", ErrNoProxy, id)
}

// status is called under mu.
func (s *stream) status() ProxyStatus {
	c := s.client.Load()
	p := ProxyStatus{
		ID:       s.id,
		Node:     s.node,
		Identity: c.Identity.String(),
		Remote:   s.remote,
		Since:    s.since,
		Synced:   s.started && s.idle() && !s.unbuilt(),
	}
	if !c.Pod.IsZero() {
		p.Pod = c.Pod.String()
	}
	if c.Workload.Kind != "" {
		p.Workload = c.Workload.String()
	}
	for t := range numTypes {
		ts := &s.types[t]
		held := 0
		for _, h := range s.sets[t] {
			if h.has() {
				held++
			}
			if h.ext != nil && h.ext.reason != "" {
				p.Rejects = true
			}
		}
		if !ts.seen && held == 0 {
			continue
		}
		p.Types = append(p.Types, TypeStatus{
			Type:       t.String(),
			Wildcard:   ts.wildcard || len(ts.prefixes) > 0,
			Subscribed: int(ts.subscribed),
			Held:       held,
			Sent:       ts.sent,
			Acked:      ts.acked,
			Nacked:     ts.nacked,
		})
	}
	return p
}

// status is called under stream.mu.
func (h *held) status() ResourceStatus {
	r := ResourceStatus{
		Type:    h.e.key.Type.String(),
		Name:    h.e.key.Name,
		Variant: h.e.key.Variant,
		Sent:    h.sent.text(),
		Acked:   h.acked.text(),
		Why:     h.why(),
	}
	if p := h.e.state.Load(); p != nil {
		r.Version, r.Quarantined = p.cur.text(), p.bad
	}
	if h.ext != nil && h.ext.reason != "" {
		r.Rejected, r.Reason = h.ext.rejected, h.ext.reason
	}
	return r
}

func (v *version) text() string {
	if v == nil {
		return ""
	}
	return v.blob.id
}

// why names the reasons for which the client holds h.
func (h *held) why() []string {
	var list []string
	for _, w := range [...]struct {
		flag uint16
		text string
	}{
		{explicit, "subscribed"},
		{wild, "wildcard"},
		{scope, "workload uses it"},
		{kept, "sticky"},
		{reported, "reported"},
	} {
		if h.is(w.flag) {
			list = append(list, w.text)
		}
	}
	if h.refs > 0 {
		list = append(list, "referred to")
	}
	return list
}
