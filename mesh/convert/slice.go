package convert

import (
	"cmp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead/fairlead/mesh"
)

// Slice converts an EndpointSlice. Without the label kubernetes.io/service-name
// it belongs to no Service. Only the first address of an endpoint counts, and nil
// conditions mean what the EndpointSlice API says.
func Slice(s *discoveryv1.EndpointSlice) *mesh.Slice {
	out := &mesh.Slice{Name: name(&s.ObjectMeta)}
	if service := s.Labels[discoveryv1.LabelServiceName]; service != "" {
		out.Service = mesh.Name{Namespace: s.Namespace, Name: service}
	}
	for _, p := range s.Ports {
		if p.Port == nil || number(*p.Port) == 0 || p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			continue
		}
		ep := mesh.EndpointPort{Number: number(*p.Port)}
		if p.Name != nil {
			ep.Name = *p.Name
		}
		out.Ports = append(out.Ports, ep)
	}
	for i := range s.Endpoints {
		if e, ok := endpoint(&s.Endpoints[i]); ok {
			e.TargetPod, e.TargetUID = target(s.Endpoints[i].TargetRef, s.Namespace)
			out.Endpoints = append(out.Endpoints, e)
		}
	}
	return out
}

func endpoint(e *discoveryv1.Endpoint) (mesh.Endpoint, bool) {
	if len(e.Addresses) == 0 {
		return mesh.Endpoint{}, false
	}
	address, ok := Address(e.Addresses[0])
	if !ok { // an FQDN slice, or no address at all
		return mesh.Endpoint{}, false
	}
	ready := orElse(e.Conditions.Ready, true)
	return mesh.Endpoint{
		Address:     address,
		Ready:       ready,
		Serving:     orElse(e.Conditions.Serving, ready),
		Terminating: orElse(e.Conditions.Terminating, false),
		Node:        orElse(e.NodeName, ""),
		Zone:        orElse(e.Zone, ""),
	}, true
}

// target returns the pod that an endpoint names; zero if it is none, or another
// kind of object. Its namespace is the slice's if it does not say.
func target(ref *corev1.ObjectReference, namespace string) (pod mesh.Name, uid string) {
	if ref == nil || ref.Kind != "Pod" || ref.Name == "" {
		return mesh.Name{}, ""
	}
	return mesh.Name{Namespace: cmp.Or(ref.Namespace, namespace), Name: ref.Name}, string(ref.UID)
}

func orElse[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// skipMirror is the label of Endpoints that no controller mirrors into slices.
const skipMirror = "endpointslice.kubernetes.io/skip-mirror"

// Endpoints converts an Endpoints object, as people still write them for Services
// without a selector, the way the mirroring controller would: one slice per subset.
//
//lint:ignore SA1019 deprecated in Kubernetes 1.33, but still served and still written
func Endpoints(e *corev1.Endpoints) []*mesh.Slice {
	if e.Labels[skipMirror] == "true" {
		return nil
	}
	var out []*mesh.Slice
	for i, subset := range e.Subsets {
		s := &mesh.Slice{
			// A name that no EndpointSlice can have.
			Name:    mesh.Name{Namespace: e.Namespace, Name: e.Name + "~" + strconv.Itoa(i)},
			Service: name(&e.ObjectMeta),
		}
		for _, p := range subset.Ports {
			if n := number(p.Port); n != 0 && cmp.Or(p.Protocol, corev1.ProtocolTCP) == corev1.ProtocolTCP {
				s.Ports = append(s.Ports, mesh.EndpointPort{Name: p.Name, Number: n})
			}
		}
		for j, a := range slices.Concat(subset.Addresses, subset.NotReadyAddresses) {
			if address, ok := Address(a.IP); ok {
				ready := j < len(subset.Addresses)
				pod, uid := target(a.TargetRef, e.Namespace)
				s.Endpoints = append(s.Endpoints, mesh.Endpoint{
					Address: address, Ready: ready, Serving: ready, Node: orElse(a.NodeName, ""),
					TargetPod: pod, TargetUID: uid,
				})
			}
		}
		out = append(out, s)
	}
	return out
}
