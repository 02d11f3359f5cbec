package mesh

import (
	"cmp"
	"net/netip"
	"slices"
)

// change applies one batch to the store. The setters keep objects and indexes and
// note what each value was before its first touch; finish joins what has to be
// joined anew and compares. A nil value is an object that is not there.
type change struct {
	*Store

	settingsBefore   *Settings
	servicesBefore   map[Name]*Service
	podsBefore       map[Name]*Pod
	namespacesBefore map[string]*Namespace
	routesBefore     map[Object]*Route

	claimsBefore  map[netip.Addr]claims
	backed        map[*backing]struct{}   // slices changed
	moved         map[netip.Addr]struct{} // the pod that has it may be another one, or read otherwise
	externalMoved bool                    // an address may have become external, or no longer be it
	keys          []Key
}

// noteBefore keeps the value that k had before its first touch.
func noteBefore[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	if _, ok := (*m)[k]; !ok {
		(*m)[k] = v
	}
}

// put stores v, or deletes k if v is nil.
func put[K comparable, V any](m map[K]*V, k K, v *V) {
	if v == nil {
		delete(m, k)
	} else {
		m[k] = v
	}
}

func (c *change) remove(o Object) {
	switch o.Kind {
	case ObjectService:
		c.setService(o.Name, nil)
	case ObjectSlice:
		c.setSlice(o.Name, nil)
	case ObjectPod:
		c.setPod(o.Name, nil)
	case ObjectNamespace:
		c.setNamespace(o.Name.Name, nil)
	case ObjectServiceAccount:
		delete(c.accounts, o.Name)
	case ObjectHTTPRoute, ObjectGRPCRoute:
		c.setRoute(o, nil)
	}
}

func (c *change) setSettings(v *Settings) {
	if c.settingsBefore == nil {
		c.settingsBefore = c.settings
	}
	c.settings = v
}

func (c *change) setNamespace(name string, v *Namespace) {
	noteBefore(&c.namespacesBefore, name, c.namespaces[name])
	put(c.namespaces, name, v)
}

func (c *change) setService(name Name, v *Service) {
	old := c.services[name]
	noteBefore(&c.servicesBefore, name, old)
	put(c.services, name, v)
	c.claimService(old, false)
	c.claimService(v, true)
}

// claimService adds or removes the claims of v on its addresses.
func (c *change) claimService(v *Service, add bool) {
	if v == nil {
		return
	}
	for i := range len(v.Addresses) + len(v.ExternalAddresses) {
		at := serviceAddress(v, i)
		a := c.address(at)
		c.noteClaims(at, a)
		a.services = slices.DeleteFunc(a.services, func(o *Service) bool { return o.Name == v.Name })
		if add {
			a.services = insert(a.services, v, func(x, y *Service) int { return compareClaims(at, x, y) })
		}
	}
	for _, at := range v.ExternalAddresses {
		c.countExternal(plain(at), add)
	}
}

func (c *change) countExternal(at netip.Addr, add bool) {
	n := c.claims[at]
	switch {
	case add:
		c.claims[at] = n + 1
		c.externalMoved = c.externalMoved || n == 0
	case n == 1:
		delete(c.claims, at)
		c.externalMoved = true
	default:
		c.claims[at] = n - 1
	}
}

func serviceAddress(v *Service, i int) netip.Addr {
	if i < len(v.Addresses) {
		return plain(v.Addresses[i])
	}
	return plain(v.ExternalAddresses[i-len(v.Addresses)])
}

// compareClaims says which Service has the address: one whose cluster IP it is
// goes before one that only lists it as external (which anybody who may create a
// Service can do, CVE-2020-8554), then the older one, then by name.
func compareClaims(at netip.Addr, a, b *Service) int {
	rank := func(s *Service) int {
		if s.hasClusterIP(at) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Created.Compare(b.Created), a.Name.Compare(b.Name))
}

func (s *Service) hasClusterIP(at netip.Addr) bool { return hasAddress(s.Addresses, at) }

func hasAddress(list []netip.Addr, at netip.Addr) bool {
	return slices.ContainsFunc(list, func(a netip.Addr) bool { return plain(a) == at })
}

func (c *change) setPod(name Name, v *Pod) {
	old := c.pods[name]
	noteBefore(&c.podsBefore, name, old)
	put(c.pods, name, v)
	c.claimPod(old, false)
	c.claimPod(v, true)
	c.indexPod(old, v)
}

// claimPod adds or removes the claims of v on its addresses. A pod on the host's
// network has none, for the address is the node's; but it can be an endpoint there.
func (c *change) claimPod(v *Pod, add bool) {
	if v == nil {
		return
	}
	for _, at := range v.Addresses {
		at = plain(at)
		if c.moved == nil {
			c.moved = map[netip.Addr]struct{}{}
		}
		c.moved[at] = struct{}{}
		if v.HostNetwork {
			continue
		}
		a := c.address(at)
		c.noteClaims(at, a)
		a.pods = slices.DeleteFunc(a.pods, func(o *Pod) bool { return o.Name == v.Name })
		if add {
			a.pods = insert(a.pods, v, comparePodClaims)
		}
	}
}

// comparePodClaims says which pod has an address that two of them report: a pod
// on its way out may have lost it already.
func comparePodClaims(a, b *Pod) int {
	rank := func(p *Pod) int {
		if p.Terminating {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Name.Compare(b.Name))
}

func (c *change) indexPod(old, v *Pod) {
	if old != nil {
		pods := c.workloads[old.Workload]
		i, _ := slices.BinarySearchFunc(pods, old, comparePods)
		if len(pods) == 1 {
			delete(c.workloads, old.Workload)
		} else {
			c.workloads[old.Workload] = slices.Delete(pods, i, i+1)
		}
		// Two pods never share a UID for long, but a pod's name may have moved on.
		if p := c.uids[old.UID]; p != nil && p.Name == old.Name {
			delete(c.uids, old.UID)
		}
	}
	if v != nil {
		c.workloads[v.Workload] = insert(c.workloads[v.Workload], v, comparePods)
		if v.UID != "" {
			c.uids[v.UID] = v
		}
	}
}

func comparePods(a, b *Pod) int { return a.Name.Compare(b.Name) }

func (c *change) setSlice(name Name, v *Slice) {
	old := c.slices[name]
	put(c.slices, name, v)
	if old != nil && v != nil && old.Equal(v) {
		// Nothing to join; only where it was read may differ.
		if b := c.backings[v.Service]; b != nil {
			b.slices[slices.Index(b.slices, old)] = v
		}
		return
	}
	if old != nil && !old.Service.IsZero() {
		b := c.backing(old.Service)
		b.slices = slices.DeleteFunc(b.slices, func(o *Slice) bool { return o.Name == name })
	}
	if v != nil && !v.Service.IsZero() {
		b := c.backing(v.Service)
		b.slices = insert(b.slices, v, func(x, y *Slice) int { return x.Name.Compare(y.Name) })
	}
}

// backing returns the backing of a Service, to be joined anew.
func (c *change) backing(service Name) *backing {
	b := c.backings[service]
	if b == nil {
		b = &backing{service: service}
		c.backings[service] = b
	}
	if c.backed == nil {
		c.backed = map[*backing]struct{}{}
	}
	c.backed[b] = struct{}{}
	return b
}

func (c *change) setRoute(id Object, v *Route) {
	old := c.routes[id]
	noteBefore(&c.routesBefore, id, old)
	put(c.routes, id, v)
}

// claims is who claims an address: what Owner and Sharers tell of it.
type claims struct {
	sharers []Name
	owner   Owner
}

func (a *address) claims(at netip.Addr) claims { return claims{a.sharers(at), a.owner(at)} }

func (c claims) equal(o claims) bool { return c.owner == o.owner && slices.Equal(c.sharers, o.sharers) }

func (c *change) noteClaims(at netip.Addr, a *address) {
	if c.claimsBefore == nil {
		c.claimsBefore = map[netip.Addr]claims{}
	}
	if _, ok := c.claimsBefore[at]; !ok {
		c.claimsBefore[at] = a.claims(at)
	}
}

// address returns the record of an address; finish drops those that stay empty.
func (c *change) address(at netip.Addr) *address {
	a := c.addresses[at]
	if a == nil {
		a = &address{}
		c.addresses[at] = a
	}
	return a
}

// insert puts v into the sorted list.
func insert[T any](list []T, v T, compare func(a, b T) int) []T {
	i, _ := slices.BinarySearchFunc(list, v, compare)
	return slices.Insert(list, i, v)
}

// plain is the form in which addresses are keys: an IPv4 address is one, however
// it was written, and a zone has no meaning in a cluster.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
