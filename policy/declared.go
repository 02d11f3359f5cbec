package policy

import (
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// DeclaredHTTP reports whether calls from clientNamespace to a port of the Service
// are HTTP and nothing else (mesh.DeclaredHTTP): by the port's own word, or by a route
// that may be in force for them. What such a client has not said yet is not taken for
// anything else: rules that are to be kept cannot be got round by keeping silent.
//
// Routes of other namespaces do not count: whoever may create a route there could
// close the port of somebody else's Service for what it is made for.
func DeclaredHTTP(v mesh.View, clientNamespace string, service mesh.Name, port uint16) bool {
	s := v.Service(service)
	if s == nil {
		return false
	}
	routes := slices.DeleteFunc(slices.Clone(v.Routes(service)), func(r *mesh.Route) bool {
		namespace := r.Meta().Namespace
		return namespace != clientNamespace && namespace != service.Namespace
	})
	return slices.ContainsFunc(s.Ports, func(p mesh.Port) bool {
		return p.Number == port && mesh.DeclaredHTTP(v.Settings(), s, &p, routes)
	})
}
