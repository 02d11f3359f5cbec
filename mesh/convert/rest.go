package convert

import (
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// Namespace converts a Namespace.
func Namespace(n *corev1.Namespace) *mesh.Namespace {
	return &mesh.Namespace{Name: n.Name, Labels: n.Labels}
}

// ServiceAccount converts a ServiceAccount.
func ServiceAccount(a *corev1.ServiceAccount) *mesh.ServiceAccount {
	return &mesh.ServiceAccount{Name: name(&a.ObjectMeta)}
}

// HTTPRoute converts an HTTPRoute. The route shares everything with the object
// except managed fields and foreign annotations, which it does without.
func HTTPRoute(r *gatewayv1.HTTPRoute) *mesh.Route {
	c := *r
	c.ManagedFields, c.Annotations = nil, own(r.Annotations)
	return &mesh.Route{HTTP: &c}
}

// GRPCRoute converts a GRPCRoute as HTTPRoute does.
func GRPCRoute(r *gatewayv1.GRPCRoute) *mesh.Route {
	c := *r
	c.ManagedFields, c.Annotations = nil, own(r.Annotations)
	return &mesh.Route{GRPC: &c}
}
