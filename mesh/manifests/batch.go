package manifests

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

func skippedOf(files []*file) []Skipped {
	type id struct{ apiVersion, kind string }
	index := map[id]int{}
	var out []Skipped
	for _, f := range files {
		for _, s := range f.skipped {
			key := id{s.apiVersion, s.kind}
			i, ok := index[key]
			if !ok {
				i = len(out)
				index[key] = i
				out = append(out, Skipped{APIVersion: s.apiVersion, Kind: s.kind, First: s.at.String()})
			}
			out[i].Count++
		}
	}
	slices.SortFunc(out, func(a, b Skipped) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.APIVersion, b.APIVersion))
	})
	return out
}

// since is the batch that turns a store that holds before into one that holds m.
// Where a value did not change, the old one takes the place of the new one.
func (m *model) since(before *model) mesh.Batch {
	var b mesh.Batch
	name := func(a, b mesh.Name) int { return a.Compare(b) }
	object := func(kind mesh.ObjectKind) func(mesh.Name) mesh.Object {
		return func(n mesh.Name) mesh.Object { return mesh.Object{Kind: kind, Name: n} }
	}
	b.Services = changed(m.services, before.services, name, (*mesh.Service).Equal, sourceOfService)
	b.Slices = changed(m.slices, before.slices, name, (*mesh.Slice).Equal, sourceOfSlice)
	b.Pods = changed(m.pods, before.pods, name, (*mesh.Pod).Equal, sourceOfPod)
	b.Namespaces = changed(m.namespaces, before.namespaces, cmp.Compare[string], (*mesh.Namespace).Equal, nil)
	b.Accounts = changed(m.accounts, before.accounts, name, equalAccounts, nil)
	b.Routes = changed(m.routes, before.routes, compareObjects, (*mesh.Route).Equal, sourceOfRoute)

	b.Deleted = append(b.Deleted, gone(m.services, before.services, object(mesh.ObjectService))...)
	b.Deleted = append(b.Deleted, gone(m.slices, before.slices, object(mesh.ObjectSlice))...)
	b.Deleted = append(b.Deleted, gone(m.pods, before.pods, object(mesh.ObjectPod))...)
	b.Deleted = append(b.Deleted, gone(m.accounts, before.accounts, object(mesh.ObjectServiceAccount))...)
	b.Deleted = append(b.Deleted, gone(m.routes, before.routes, func(o mesh.Object) mesh.Object { return o })...)
	b.Deleted = append(b.Deleted, gone(m.namespaces, before.namespaces, func(n string) mesh.Object {
		return mesh.Object{Kind: mesh.ObjectNamespace, Name: mesh.Name{Name: n}}
	})...)
	slices.SortFunc(b.Deleted, compareObjects)
	return b
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
	for k := range maps.Keys(before) {
		if now[k] == nil {
			out = append(out, object(k))
		}
	}
	return out
}
