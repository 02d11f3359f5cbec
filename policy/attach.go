package policy

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// selectPorts returns the ports of the Service that a parentRef to it selects,
// else why there are none. parentRef.port is the number and parentRef.sectionName
// the name of a Service port; both together must fit, neither means every port
// (Gateway API v1.7, ParentReference).
func selectPorts(service *mesh.Service, parent mesh.Name, ref *gatewayv1.ParentReference) ([]uint16, problems) {
	switch {
	case service == nil:
		return nil, refuse(codeParentMissing, "name", "create it, or correct name and namespace", "Service %s does not exist", parent)
	case service.ExternalName != "":
		return nil, refuse(codeParentUnroutable, "name", "attach the route to a Service with a cluster IP", "Service %s is of type ExternalName and cannot have routes", parent)
	case service.Headless:
		return nil, refuse(codeParentUnroutable, "name", "attach the route to a Service with a cluster IP", "Service %s is headless: its callers call pods, and routes go by the Service's address", parent)
	}
	var ports []uint16
	for i := range service.Ports {
		if p := &service.Ports[i]; mesh.ParentSelects(ref, p) {
			ports = append(ports, p.Number)
		}
	}
	if len(ports) > 0 {
		return ports, nil
	}
	field, found := "port", "no port that can have routes"
	switch {
	case ref.Port != nil && ref.SectionName != nil:
		found = "no port with that number and that name"
	case ref.Port != nil:
		found = "no such port"
	case ref.SectionName != nil:
		field, found = "sectionName", "no port of that name"
	}
	return nil, refuse(codeParentPort, field, "name one of its TCP ports, or leave it out to mean all", "Service %s has %s (%s)", parent, found, hasPorts(service))
}

// attached reports whether a route is attached to that port of the Service.
func attached(r *mesh.Route, service *mesh.Service, port uint16) bool {
	refs := r.ParentRefs()
	for i := range refs {
		if parent, ok := mesh.ServiceParent(refs[i], r.Meta().Namespace); ok && parent == service.Name {
			if ports, _ := selectPorts(service, parent, &refs[i]); slices.Contains(ports, port) {
				return true
			}
		}
	}
	return false
}

// inForce returns the routes that hold for callers from that namespace on one port
// of the Service, in the order of routes; all is View.Routes of the Service.
//
// Routes in the callers' own namespace (consumer routes) replace those in the
// Service's (producer routes); others do not concern them. Within the group that
// is left only one type of route holds, GRPCRoute before HTTPRoute (GEP-1294).
// What is wrong inside a route plays no part: a route never makes way for a wider
// one by being broken.
func inForce(all []*mesh.Route, service *mesh.Service, port uint16, clientNamespace string) []*mesh.Route {
	group := attachedIn(all, service, port, clientNamespace)
	if len(group) == 0 && clientNamespace != service.Name.Namespace {
		group = attachedIn(all, service, port, service.Name.Namespace)
	}
	if !slices.ContainsFunc(group, isGRPC) {
		return group
	}
	return slices.DeleteFunc(group, func(r *mesh.Route) bool { return !isGRPC(r) })
}

// attachedIn returns the routes of one namespace that are attached to the port.
func attachedIn(all []*mesh.Route, service *mesh.Service, port uint16, namespace string) []*mesh.Route {
	var group []*mesh.Route
	for _, r := range all {
		if r.Meta().Namespace == namespace && attached(r, service, port) {
			group = append(group, r)
		}
	}
	return group
}

func isGRPC(r *mesh.Route) bool { return r.GRPC != nil }
