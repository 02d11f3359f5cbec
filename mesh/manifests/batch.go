package manifests

import (
	"cmp"
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// addChanges adds to the batch what turns before into p; before may be nil. Where a
// value did not change, the old one takes the place of the new one.
func (p *part) addChanges(b *mesh.Batch, before *part) {
	if before == nil {
		before = &part{}
	}
	name := mesh.Name.Compare
	b.Services = append(b.Services, changed(p.services, before.services, name, (*mesh.Service).Equal, sourceOfService)...)
	b.Slices = append(b.Slices, changed(p.slices, before.slices, name, (*mesh.Slice).Equal, sourceOfSlice)...)
	b.Pods = append(b.Pods, changed(p.pods, before.pods, name, (*mesh.Pod).Equal, sourceOfPod)...)
	b.Accounts = append(b.Accounts, changed(p.accounts, before.accounts, name, equalAccounts, nil)...)
	b.Routes = append(b.Routes, changed(p.routes, before.routes, compareObjects, (*mesh.Route).Equal, sourceOfRoute)...)
	switch {
	case p.namespace.Equal(before.namespace):
		p.namespace = before.namespace
	case p.namespace != nil:
		b.Namespaces = append(b.Namespaces, p.namespace)
	default:
		b.Deleted = append(b.Deleted, mesh.Object{Kind: mesh.ObjectNamespace, Name: mesh.Name{Name: before.namespace.Name}})
	}
	b.Deleted = append(b.Deleted, gone(p.services, before.services, nameIn(mesh.ObjectService))...)
	b.Deleted = append(b.Deleted, gone(p.slices, before.slices, nameIn(mesh.ObjectSlice))...)
	b.Deleted = append(b.Deleted, gone(p.pods, before.pods, nameIn(mesh.ObjectPod))...)
	b.Deleted = append(b.Deleted, gone(p.accounts, before.accounts, nameIn(mesh.ObjectServiceAccount))...)
	b.Deleted = append(b.Deleted, gone(p.routes, before.routes, func(o mesh.Object) mesh.Object { return o })...)
}

func nameIn(kind mesh.ObjectKind) func(mesh.Name) mesh.Object {
	return func(n mesh.Name) mesh.Object { return mesh.Object{Kind: kind, Name: n} }
}

func sourceOfService(s *mesh.Service) string { return s.Source }
func sourceOfSlice(s *mesh.Slice) string     { return s.Source }
func sourceOfPod(p *mesh.Pod) string         { return p.Source }
func sourceOfRoute(r *mesh.Route) string     { return r.Source }

func equalAccounts(a, b *mesh.ServiceAccount) bool { return *a == *b }

func compareObjects(a, b mesh.Object) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Name.Compare(b.Name))
}

// changed lists the values of now that differ from before, sorted by key, and puts
// the old value in the place of an equal new one.
func changed[K comparable, V any](
	now, before map[K]*V, compare func(a, b K) int, equal func(a, b *V) bool, source func(*V) string,
) []*V {
	var keys []K
	for k, v := range now {
		old := before[k]
		if old == v {
			continue
		}
		if old != nil && equal(old, v) && (source == nil || source(old) == source(v)) {
			now[k] = old
			continue
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	out := make([]*V, 0, len(keys))
	for _, k := range keys {
		out = append(out, now[k])
	}
	return out
}

func gone[K comparable, V any](now, before map[K]*V, object func(K) mesh.Object) []mesh.Object {
	var out []mesh.Object
	for k := range before {
		if now[k] == nil {
			out = append(out, object(k))
		}
	}
	return out
}
