package envoy

import (
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairlead/fairlead/mesh"
)

// transportMatch is the metadata that a cluster's transport_socket_matches read.
const transportMatch = "envoy.transport_socket_match"

// NewAssignment lists the endpoints of a Service port that calls go to, in the
// order of e. The Service and its endpoints may be nil: there are none then.
func NewAssignment(name AssignmentName, s *mesh.Service, e *mesh.Endpoints) *endpointv3.ClusterLoadAssignment {
	var list []*endpointv3.LbEndpoint
	if port := TCPPort(s, name.Port); port != nil && e != nil {
		seen := map[netip.AddrPort]bool{}
		for _, ep := range usable(ofFamily(e.List, s, name.Family), s.PublishNotReady) {
			a := netip.AddrPortFrom(ep.Address, ep.Port(port.Name))
			if a.Port() == 0 || seen[a] {
				continue
			}
			seen[a] = true
			list = append(list, lbEndpoint(a.Addr().String(), uint32(a.Port()), ep.Meshed))
		}
	}
	return assignment(name.String(), list)
}

// TCPPort returns the port of that number that the mesh carries, or nil: DNS has
// its number twice, once for UDP.
func TCPPort(s *mesh.Service, number uint16) *mesh.Port {
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.Ports, func(p mesh.Port) bool {
		return p.Number == number && p.Protocol != mesh.ProtocolUDP
	})
	if i < 0 {
		return nil
	}
	return &s.Ports[i]
}

// FamilyOf says which of a Service's endpoints a call to one of its addresses
// goes to: kube-proxy keeps the families apart.
func FamilyOf(s *mesh.Service, called netip.Addr) Family {
	if len(s.Addresses) < 2 || s.Addresses[0].Is4() == called.Is4() {
		return Primary
	}
	for _, a := range s.Addresses[1:] {
		if a.Is4() == called.Is4() {
			return family(called)
		}
	}
	return Primary // an external address of a family that the Service lacks
}

func family(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// ofFamily keeps the endpoints with an address of that family.
func ofFamily(list []mesh.Endpoint, s *mesh.Service, f Family) []mesh.Endpoint {
	want := f
	if f == Primary {
		if len(list) == 0 {
			return nil
		}
		want = family(list[0].Address)
		if len(s.Addresses) > 0 {
			want = family(s.Addresses[0])
		} else if slices.ContainsFunc(list, func(e mesh.Endpoint) bool { return e.Address.Is4() }) {
			want = IPv4
		}
	}
	kept := keep(list, func(e mesh.Endpoint) bool { return family(e.Address) == want })
	if len(kept) == 0 && f == Primary {
		return list
	}
	return kept
}

// usable keeps the endpoints that are ready. If none is, those that still serve
// while they terminate (KEP-1669), as kube-proxy does. Never those of a pod that is
// not known: it may have a sidecar, or its address a new owner, so that plaintext
// would go to whoever has it.
func usable(list []mesh.Endpoint, publishNotReady bool) []mesh.Endpoint {
	list = keep(list, func(e mesh.Endpoint) bool { return !e.Unknown })
	if publishNotReady {
		return list
	}
	if ready := keep(list, func(e mesh.Endpoint) bool { return e.Ready }); len(ready) > 0 {
		return ready
	}
	return keep(list, func(e mesh.Endpoint) bool { return e.Serving && e.Terminating })
}

func keep(list []mesh.Endpoint, want func(mesh.Endpoint) bool) []mesh.Endpoint {
	var kept []mesh.Endpoint
	for _, e := range list {
		if want(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

func assignment(name string, list []*endpointv3.LbEndpoint) *endpointv3.ClusterLoadAssignment {
	a := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	if len(list) > 0 {
		a.Endpoints = []*endpointv3.LocalityLbEndpoints{{LbEndpoints: list}}
	}
	return a
}

func lbEndpoint(ip string, port uint32, meshed bool) *endpointv3.LbEndpoint {
	e := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
		Endpoint: &endpointv3.Endpoint{Address: address(ip, port)},
	}}
	if meshed {
		e.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{transportMatch: meshedMatch()}}
	}
	return e
}

// meshedMatch marks an endpoint with a sidecar.
func meshedMatch() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"mesh": structpb.NewBoolValue(true)}}
}
