package mesh

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Meta returns the metadata of the route's object; it must not be modified.
func (r *Route) Meta() *metav1.ObjectMeta {
	if r.HTTP != nil {
		return &r.HTTP.ObjectMeta
	}
	return &r.GRPC.ObjectMeta
}

// Name returns the route's namespaced name.
func (r *Route) Name() Name {
	m := r.Meta()
	return Name{Namespace: m.Namespace, Name: m.Name}
}

// Kind returns "HTTPRoute" or "GRPCRoute".
func (r *Route) Kind() string {
	if r.HTTP != nil {
		return "HTTPRoute"
	}
	return "GRPCRoute"
}

// ParentRefs returns spec.parentRefs; the slice must not be modified.
func (r *Route) ParentRefs() []gatewayv1.ParentReference {
	if r.HTTP != nil {
		return r.HTTP.Spec.ParentRefs
	}
	return r.GRPC.Spec.ParentRefs
}

// Parents returns the Services that the route names as parents, each once.
func (r *Route) Parents() []Name {
	var names []Name
	for _, ref := range r.ParentRefs() {
		if name, ok := ServiceParent(ref, r.Meta().Namespace); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// ServiceParent returns the Service that ref names in a route of that namespace.
// False means that it names something else: the default is a Gateway, and the
// core group has to be written out as "" (Gateway API, ParentReference.group).
func ServiceParent(ref gatewayv1.ParentReference, namespace string) (Name, bool) {
	if ref.Group == nil || *ref.Group != "" || ref.Kind == nil || *ref.Kind != "Service" {
		return Name{}, false
	}
	if ref.Namespace != nil && *ref.Namespace != "" {
		namespace = string(*ref.Namespace)
	}
	return Name{Namespace: namespace, Name: string(ref.Name)}, true
}

// id identifies the route among all: an HTTPRoute and a GRPCRoute may share a name.
func (r *Route) id() Object {
	if r.HTTP != nil {
		return Object{Kind: ObjectHTTPRoute, Name: r.Name()}
	}
	return Object{Kind: ObjectGRPCRoute, Name: r.Name()}
}

// compareRoutes orders by age, then by namespace and name (Gateway API, conflict
// resolution), then by kind.
func compareRoutes(a, b *Route) int {
	return cmp.Or(
		a.Meta().CreationTimestamp.Compare(b.Meta().CreationTimestamp.Time),
		a.Name().Compare(b.Name()),
		cmp.Compare(a.Kind(), b.Kind()),
	)
}
