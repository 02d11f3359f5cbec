package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// finish joins endpoints and routes anew where the batch touched them, and returns
// the keys of what is different now.
func (c *change) finish() []Key {
	for b := range c.backed {
		c.joinSlices(b)
	}
	c.joinPods()
	c.joinRoutes()
	c.compareObjects()
	c.joinExternal()
	for at, before := range c.claimsBefore {
		a := c.addresses[at]
		if !a.claims(at).equal(before) {
			c.keys = append(c.keys, Key{Kind: KindAddress, Address: at})
		}
		c.forget(at, a)
	}
	c.joinHTTPPorts()
	slices.SortFunc(c.keys, Key.Compare)
	return c.keys
}

// compareObjects names the objects that differ from what they were.
func (c *change) compareObjects() {
	if c.settingsBefore != nil && !c.settings.Equal(c.settingsBefore) {
		c.keys = append(c.keys, Key{Kind: KindSettings})
	}
	for name, before := range c.namespacesBefore {
		if !c.namespaces[name].Equal(before) {
			c.keys = append(c.keys, Key{Kind: KindNamespace, Name: Name{Name: name}})
		}
	}
	for name, before := range c.servicesBefore {
		if !c.services[name].Equal(before) {
			c.keys = append(c.keys, Key{Kind: KindService, Name: name})
		}
	}
	for name, before := range c.podsBefore {
		if !c.pods[name].Equal(before) {
			c.keys = append(c.keys, Key{Kind: KindPod, Name: name})
		}
	}
}

// joinSlices merges the slices of a Service and joins every address with its pod.
func (c *change) joinSlices(b *backing) {
	before := b.endpoints
	list := merge(b.slices)
	for i := range list {
		c.joinPod(&list[i])
	}
	c.countUnknown(endpointsList(before), -1)
	c.listUsers(b, endpointsList(before), list)
	c.countUnknown(list, 1)
	switch {
	case len(list) == 0:
		b.endpoints = nil
	case before == nil || !equalEndpoints(before.List, list):
		b.endpoints = &Endpoints{Service: b.service, List: list}
	}
	if b.endpoints != before {
		c.keys = append(c.keys, Key{Kind: KindEndpoints, Name: b.service})
	}
	if len(b.slices) == 0 {
		delete(c.backings, b.service)
	}
}

// countUnknown keeps the count of those who list an address as an unknown pod's.
func (c *change) countUnknown(list []Endpoint, n int) {
	for i := range list {
		if list[i].Unknown {
			at := list[i].Address
			a := c.addresses[at]
			c.noteClaims(at, a)
			a.unknown += n
		}
	}
}

func endpointsList(e *Endpoints) []Endpoint {
	if e == nil {
		return nil
	}
	return e.List
}

// joinPods looks again at the endpoints whose address changed hands, or whose pod
// changed. Endpoints that were joined from their slices just now come out equal.
func (c *change) joinPods() {
	var copied map[*backing]struct{}
	for at := range c.moved {
		a := c.addresses[at]
		if a == nil {
			continue
		}
		for _, b := range a.users {
			i, _ := slices.BinarySearchFunc(b.endpoints.List, at, compareEndpoint)
			e := b.endpoints.List[i]
			c.joinPod(&e)
			if e.Equal(&b.endpoints.List[i]) {
				continue
			}
			if _, ok := copied[b]; !ok {
				if copied == nil {
					copied = map[*backing]struct{}{}
				}
				copied[b] = struct{}{}
				b.endpoints = &Endpoints{Service: b.service, List: slices.Clone(b.endpoints.List)}
				c.keys = append(c.keys, Key{Kind: KindEndpoints, Name: b.service})
			}
			c.countUnknown(b.endpoints.List[i:i+1], -1)
			b.endpoints.List[i] = e
			c.countUnknown(b.endpoints.List[i:i+1], 1)
		}
	}
}

func compareEndpoint(e Endpoint, at netip.Addr) int { return e.Address.Compare(at) }

// joinPod writes into e what is known of the pod that has its address.
func (c *change) joinPod(e *Endpoint) {
	var pod *Pod
	if a := c.addresses[e.Address]; a != nil && len(a.pods) > 0 {
		pod = a.pods[0]
	}
	e.Pod, e.Meshed, e.Account = Name{}, false, Name{}
	e.Unknown = !c.isTarget(e, pod)
	if e.Unknown || pod == nil {
		return
	}
	e.Pod = pod.Name
	if pod.Meshed {
		e.Meshed, e.Account = true, pod.AccountName()
	}
}

// isTarget reports that the pod that has e's address, which may be nil, is the one
// that the slice names, if it names one.
func (c *change) isTarget(e *Endpoint, pod *Pod) bool {
	if e.TargetPod.IsZero() {
		return true
	}
	if pod == nil { // on the host's network, then: no pod owns a node's address
		pod = c.pods[e.TargetPod]
		if pod == nil || !pod.HostNetwork || !hasAddress(pod.Addresses, e.Address) {
			return false
		}
	}
	sameUID := e.TargetUID == "" || pod.UID == "" || e.TargetUID == pod.UID
	return pod.Name == e.TargetPod && sameUID
}

// listUsers keeps the index from address to backing. Both lists are sorted.
func (c *change) listUsers(b *backing, before, after []Endpoint) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Address.Less(after[0].Address):
			at := before[0].Address
			a := c.addresses[at]
			a.users = slices.DeleteFunc(a.users, func(o *backing) bool { return o == b })
			c.forget(at, a)
			before = before[1:]
		case len(before) == 0 || after[0].Address.Less(before[0].Address):
			a := c.address(after[0].Address)
			a.users = append(a.users, b)
			after = after[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
}

// forget drops the record of an address that nobody claims or lists.
func (c *change) forget(at netip.Addr, a *address) {
	if a != nil && a.empty() {
		delete(c.addresses, at)
	}
}

// joinExternal lists the external addresses anew if one came or went.
func (c *change) joinExternal() {
	if !c.externalMoved {
		return
	}
	list := slices.SortedFunc(maps.Keys(c.claims), netip.Addr.Compare)
	if !slices.Equal(list, c.external) {
		c.external = list
		c.keys = append(c.keys, Key{Kind: KindExternal})
	}
}

// joinRoutes sorts the routes of every parent that a changed route names or named.
func (c *change) joinRoutes() {
	changed := map[Name]bool{} // by parent: whether it is a change that means something
	for id, before := range c.routesBefore {
		now := c.routes[id]
		if now == before {
			continue
		}
		means := !now.Equal(before)
		for _, r := range []*Route{before, now} {
			if r == nil {
				continue
			}
			for _, parent := range r.Parents() {
				changed[parent] = changed[parent] || means
				c.parents[parent] = replaceRoute(c.parents[parent], id, nil)
			}
		}
		if now == nil {
			continue
		}
		for _, parent := range now.Parents() {
			c.parents[parent] = replaceRoute(c.parents[parent], id, now)
		}
	}
	for parent, means := range changed {
		if len(c.parents[parent]) == 0 {
			delete(c.parents, parent)
		}
		if means {
			c.keys = append(c.keys, Key{Kind: KindRoutes, Name: parent})
		}
	}
}

// replaceRoute returns a new sorted list without the route id, and with v if it is
// set. The old list may be in a reader's hands.
func replaceRoute(list []*Route, id Object, v *Route) []*Route {
	out := make([]*Route, 0, len(list)+1)
	for _, r := range list {
		if r.id() != id {
			out = append(out, r)
		}
	}
	if v != nil {
		out = insert(out, v, compareRoutes)
	}
	return out
}

// merge puts the endpoints of all slices into one list, sorted by address.
func merge(list []*Slice) []Endpoint {
	n := 0
	for _, s := range list {
		n += len(s.Endpoints)
	}
	if n == 0 {
		return nil
	}
	type place struct {
		at    netip.Addr
		slice *Slice
		index int
	}
	places := make([]place, 0, n)
	for _, s := range list {
		for i := range s.Endpoints {
			places = append(places, place{at: plain(s.Endpoints[i].Address), slice: s, index: i})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return a.at.Compare(b.at) })
	out := make([]Endpoint, 0, n)
	for _, p := range places {
		e := p.slice.Endpoints[p.index]
		e.Address = p.at
		if e.Ports == nil {
			e.Ports = p.slice.Ports
		}
		if last := len(out) - 1; last >= 0 && out[last].Address == e.Address {
			out[last] = union(out[last], e)
		} else {
			out = append(out, e)
		}
	}
	return out
}

// union merges two entries of one address, which stand in two slices while the
// slice controller moves an endpoint, or for good if they serve different ports.
// Clients have to expect both (EndpointSlice concepts, "Duplicate endpoints").
func union(a, b Endpoint) Endpoint {
	ports := make(map[string]uint16, len(a.Ports)+len(b.Ports))
	for _, p := range slices.Backward(slices.Concat(a.Ports, b.Ports)) {
		ports[p.Name] = p.Number
	}
	a.Ports = make([]EndpointPort, 0, len(ports))
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		a.Ports = append(a.Ports, EndpointPort{Name: name, Number: ports[name]})
	}
	// Of two pods, one had the address before: the one that is ready has it now.
	if a.TargetPod.IsZero() || !b.TargetPod.IsZero() && b.Ready && !a.Ready {
		a.TargetPod, a.TargetUID = b.TargetPod, b.TargetUID
	}
	a.Ready = a.Ready || b.Ready
	a.Serving = a.Serving || b.Serving
	a.Terminating = a.Terminating && b.Terminating
	a.Node = cmp.Or(a.Node, b.Node)
	a.Zone = cmp.Or(a.Zone, b.Zone)
	return a
}
