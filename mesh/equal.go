package mesh

import (
	"maps"
	"reflect"
	"slices"
)

// The Equal methods say whether two values mean the same. Where an object was
// read (Source) means nothing: a line added above it changes no proxy. A test
// sees to it that no other field is forgotten.

// Equal reports that s and o mean the same.
func (s *Service) Equal(o *Service) bool {
	if s == nil || o == nil || s == o {
		return s == o
	}
	return s.Name == o.Name &&
		s.Headless == o.Headless &&
		s.ExternalName == o.ExternalName &&
		s.PublishNotReady == o.PublishNotReady &&
		s.ClientIPAffinity == o.ClientIPAffinity &&
		s.Created.Equal(o.Created) &&
		slices.Equal(s.Addresses, o.Addresses) &&
		slices.Equal(s.ExternalAddresses, o.ExternalAddresses) &&
		slices.Equal(s.Ports, o.Ports) &&
		maps.Equal(s.Selector, o.Selector) &&
		maps.Equal(s.Annotations, o.Annotations)
}

// Equal reports that s and o mean the same.
func (s *Slice) Equal(o *Slice) bool {
	if s == nil || o == nil || s == o {
		return s == o
	}
	return s.Name == o.Name &&
		s.Service == o.Service &&
		slices.Equal(s.Ports, o.Ports) &&
		equalEndpoints(s.Endpoints, o.Endpoints)
}

// Equal reports that e and o mean the same.
func (e *Endpoint) Equal(o *Endpoint) bool {
	if e == nil || o == nil || e == o {
		return e == o
	}
	return e.Address == o.Address &&
		e.Ready == o.Ready &&
		e.Serving == o.Serving &&
		e.Terminating == o.Terminating &&
		e.Node == o.Node &&
		e.Zone == o.Zone &&
		e.TargetPod == o.TargetPod &&
		e.TargetUID == o.TargetUID &&
		e.Pod == o.Pod &&
		e.Unknown == o.Unknown &&
		e.Meshed == o.Meshed &&
		e.Account == o.Account &&
		slices.Equal(e.Ports, o.Ports)
}

func equalEndpoints(a, b []Endpoint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(&b[i]) {
			return false
		}
	}
	return true
}

// Equal reports that p and o mean the same.
func (p *Pod) Equal(o *Pod) bool {
	if p == nil || o == nil || p == o {
		return p == o
	}
	return p.Name == o.Name &&
		p.UID == o.UID &&
		p.ServiceAccount == o.ServiceAccount &&
		p.Workload == o.Workload &&
		p.Meshed == o.Meshed &&
		p.HostNetwork == o.HostNetwork &&
		p.Node == o.Node &&
		p.Zone == o.Zone &&
		p.Ready == o.Ready &&
		p.Terminating == o.Terminating &&
		p.Template == o.Template &&
		slices.Equal(p.Addresses, o.Addresses) &&
		slices.Equal(p.Ports, o.Ports) &&
		maps.Equal(p.Labels, o.Labels) &&
		maps.Equal(p.Annotations, o.Annotations)
}

// Equal reports that n and o mean the same.
func (n *Namespace) Equal(o *Namespace) bool {
	if n == nil || o == nil || n == o {
		return n == o
	}
	return n.Name == o.Name && maps.Equal(n.Labels, o.Labels)
}

// Equal reports that r and o mean the same. The status is left out, because the
// mesh itself writes it, and so is all metadata that no rule reads.
func (r *Route) Equal(o *Route) bool {
	if r == nil || o == nil || r == o {
		return r == o
	}
	a, b := r.Meta(), o.Meta()
	if r.id() != o.id() || a.Generation != b.Generation ||
		!a.CreationTimestamp.Equal(&b.CreationTimestamp) || !maps.Equal(a.Annotations, b.Annotations) {
		return false
	}
	if r.HTTP != nil {
		return reflect.DeepEqual(r.HTTP.Spec, o.HTTP.Spec)
	}
	return reflect.DeepEqual(r.GRPC.Spec, o.GRPC.Spec)
}

// Equal reports that s and o mean the same.
func (s *Settings) Equal(o *Settings) bool { return reflect.DeepEqual(s, o) }
