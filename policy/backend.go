package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// maxWeight is the API's upper bound. The 16 backends that the API allows sum up
// to what a uint32 holds, but a folder of manifests has not passed the API server.
const maxWeight = 1_000_000

// compileBackends reads rules[].backendRefs: the backends that get requests, and
// the weight of those that would but cannot (HTTPRouteRule.backendRefs).
func compileBackends(v mesh.View, namespace string, refs []backendRef, scope filterScope) (backends []Backend, invalid uint32, ps problems) {
	var total uint64
	for i := range refs {
		backend, weight, more := compileBackend(v, namespace, &refs[i], scope)
		total += uint64(weight)
		switch {
		case weight == 0:
		case backend.Service.IsZero():
			invalid += weight
		default:
			backends = append(backends, backend)
		}
		ps = append(ps, more.inItem("backendRefs", i)...)
	}
	switch {
	case total > math.MaxUint32:
		ps = append(ps, refuse(codeWeight, "backendRefs", "use smaller ones", "the weights sum up to %d", total)...)
	case len(refs) > 0 && total == 0 && len(ps.only(refuses)) == 0:
		ps = append(ps, warn(codeWeightsZero, "backendRefs", "give one of them a weight",
			"the weights of all backends are 0: every request gets a 500")...)
	}
	return backends, invalid, ps
}

// compileBackend reads one backendRef. The Backend has no Service if the
// reference leads nowhere.
func compileBackend(v mesh.View, namespace string, ref *backendRef, scope filterScope) (Backend, uint32, problems) {
	var ps problems
	weight := int32(1)
	if ref.weight != nil {
		weight = *ref.weight
	}
	if weight < 0 || weight > maxWeight {
		ps = append(ps, refuse(codeWeight, "weight", "", "%d is not between 0 and %d", weight, maxWeight)...)
		weight = 0
	}
	target, more := resolve(v, namespace, ref.object)
	ps = append(ps, more...)
	filters, _, more := compileFilters(v, namespace, ref.filters, scope.ofBackend())
	ps = append(ps, more...)
	return Backend{Target: target, Weight: uint32(weight), Filters: filters}, uint32(weight), ps
}

// resolve follows a reference to a backend, or says why it leads nowhere. Any
// namespace may be referred to: routes of a mesh only reshape what callers can
// reach anyway, so that no ReferenceGrant is asked for (GEP-1294).
func resolve(v mesh.View, namespace string, ref gatewayv1.BackendObjectReference) (Target, problems) {
	if kind, ok := isService(ref); !ok {
		return Target{}, dangling(codeBackendKind, ReasonInvalidKind, "kind", "refer to a Service", "%s cannot be a backend", kind)
	}
	if ref.Namespace != nil && *ref.Namespace != "" {
		namespace = string(*ref.Namespace)
	}
	name := mesh.Name{Namespace: namespace, Name: string(ref.Name)}
	service := v.Service(name)
	if service == nil {
		return Target{}, dangling(codeBackendMissing, ReasonBackendNotFound, "name", "create it, or correct name and namespace", "Service %s does not exist", name)
	}
	if service.ExternalName != "" {
		return Target{}, dangling(codeBackendExternalName, ReasonInvalidKind, "name", "refer to a Service with endpoints", "Service %s is of type ExternalName", name)
	}
	if ref.Port == nil {
		return Target{}, dangling(codeBackendNoPort, ReasonBackendNotFound, "port", "add it; "+hasPorts(service), "a backend of kind Service needs a port")
	}
	port := portNumbered(service, *ref.Port)
	if port == nil {
		return Target{}, dangling(codeBackendPort, ReasonBackendNotFound, "port", "use a port of the Service, not of its pods", "Service %s has no port %d (%s)", name, *ref.Port, hasPorts(service))
	}
	if port.Protocol == mesh.ProtocolUDP || port.Protocol == mesh.ProtocolTLS {
		return Target{}, dangling(codeBackendProtocol, ReasonUnsupportedProtocol, "port", "use a port that speaks HTTP", "port %d of Service %s speaks %s", port.Number, name, port.Protocol)
	}
	return Target{Service: name, Port: port.Number}, nil
}

// isService reports whether the reference is one to a core Service, else what it
// refers to. Both fields default to that.
func isService(ref gatewayv1.BackendObjectReference) (string, bool) {
	group, kind := "", "Service"
	if ref.Group != nil {
		group = string(*ref.Group)
	}
	if ref.Kind != nil && *ref.Kind != "" {
		kind = string(*ref.Kind)
	}
	if group != "" {
		kind = group + "/" + kind
	}
	return kind, kind == "Service"
}

func portNumbered(s *mesh.Service, number int32) *mesh.Port {
	if number < 1 || number > 65535 {
		return nil
	}
	return s.Port(uint16(number))
}

// hasPorts tells the ports of a Service, for a message.
func hasPorts(s *mesh.Service) string {
	if len(s.Ports) == 0 {
		return "it has no ports"
	}
	var ports []string
	for _, p := range slices.SortedFunc(slices.Values(s.Ports), func(a, b mesh.Port) int { return int(a.Number) - int(b.Number) }) {
		text := fmt.Sprint(p.Number)
		if p.Name != "" {
			text += " " + p.Name
		}
		ports = append(ports, text)
	}
	return "it has " + strings.Join(ports, ", ")
}
