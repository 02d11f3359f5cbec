package manifests

import (
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// claim is the claim of an object to an address of a family.
type claim struct {
	kind   string
	name   mesh.Name
	family family
}

// addressBook knows every address of a folder, and gives stand-ins. A stand-in
// follows from the name of who gets it; only where two names fall on one address
// does it matter who else is there. Whoever has one keeps it for as long as the book
// lives (a watched folder), whoever else comes and goes, unless a manifest claims
// the very address.
type addressBook struct {
	services map[family]netip.Prefix
	pods     map[family]netip.Prefix

	given map[claim]netip.Addr
	taken map[netip.Addr]claim // the inverse of given
	// reserved counts the manifests that name an address.
	reserved map[netip.Addr]int
	// clusterIPs are the Services that name an address as their cluster IP, by name.
	clusterIPs map[netip.Addr][]holder
}

// holder is a Service and where it stands.
type holder struct {
	name mesh.Name
	at   place
}

func newAddressBook(o Options) *addressBook {
	return &addressBook{
		services:   byFamily(o.ServiceRanges),
		pods:       byFamily(o.PodRanges),
		given:      map[claim]netip.Addr{},
		taken:      map[netip.Addr]claim{},
		reserved:   map[netip.Addr]int{},
		clusterIPs: map[netip.Addr][]holder{},
	}
}

func byFamily(ranges []netip.Prefix) map[family]netip.Prefix {
	out := map[family]netip.Prefix{}
	for _, r := range ranges {
		if _, ok := out[familyOf(r.Addr())]; !ok {
			out[familyOf(r.Addr())] = r.Masked()
		}
	}
	return out
}

// reserve notes the addresses that the manifests of a namespace name, and returns
// the namespaces whom that concerns: a stand-in of theirs has to make room, or a
// cluster IP of theirs is claimed twice from now on.
func (b *addressBook) reserve(a *assembly) (concerned []string) {
	a.eachAddress(func(e entry, ip netip.Addr) {
		b.reserved[ip]++
		if c, ok := b.taken[ip]; ok {
			b.release(c)
			concerned = append(concerned, c.name.Namespace)
		}
		if e.service != nil {
			list := append(b.clusterIPs[ip], holder{e.name, e.at})
			slices.SortFunc(list, func(x, y holder) int { return x.name.Compare(y.name) })
			b.clusterIPs[ip] = list
			concerned = append(concerned, namespacesOf(list)...)
		}
	})
	return concerned
}

// unreserve takes back what reserve noted, and returns the namespaces that it
// concerns that an address is free.
func (b *addressBook) unreserve(a *assembly) (concerned []string) {
	a.eachAddress(func(e entry, ip netip.Addr) {
		if b.reserved[ip]--; b.reserved[ip] == 0 {
			delete(b.reserved, ip)
		}
		if e.service != nil {
			list := slices.DeleteFunc(b.clusterIPs[ip], func(h holder) bool { return h.name == e.name })
			if len(list) == 0 {
				delete(b.clusterIPs, ip)
				return
			}
			b.clusterIPs[ip] = list
			concerned = append(concerned, namespacesOf(list)...)
		}
	})
	return concerned
}

func namespacesOf(list []holder) []string {
	out := make([]string, 0, len(list))
	for _, h := range list {
		out = append(out, h.name.Namespace)
	}
	return out
}

// eachAddress calls f for the addresses that the manifests themselves name.
func (a *assembly) eachAddress(f func(entry, netip.Addr)) {
	for _, e := range a.listServices {
		for _, ip := range e.service.Addresses {
			f(e, ip)
		}
	}
	for _, e := range a.listPods {
		for _, ip := range e.pod.Addresses {
			f(e, ip)
		}
	}
}

// firstClusterIP is the Service that has a cluster IP which several name.
func (b *addressBook) firstClusterIP(ip netip.Addr) holder { return b.clusterIPs[ip][0] }

// release takes a stand-in back.
func (b *addressBook) release(c claim) {
	delete(b.taken, b.given[c])
	delete(b.given, c)
}

// maxProbes bounds the search in a range that is nearly full.
const maxProbes = 1 << 16

// give returns the stand-in of c, a new one if it has none. False means that its
// range is used up, or that there is no range of its family.
func (b *addressBook) give(c claim) (netip.Addr, bool) {
	if ip, ok := b.given[c]; ok {
		return ip, true
	}
	ranges := b.pods
	if c.kind == "Service" {
		ranges = b.services
	}
	r, ok := ranges[c.family]
	size := hostCount(r)
	if !ok || size == 0 {
		return netip.Addr{}, false
	}
	h := fnv.New64a()
	h.Write([]byte(c.kind + "/" + c.name.String()))
	start := h.Sum64() % size
	for i := range min(size, maxProbes) {
		// The first address of a range names the network, and is nobody's.
		ip := nth(r, 1+(start+i)%size)
		if _, taken := b.taken[ip]; !taken && b.reserved[ip] == 0 {
			b.given[c], b.taken[ip] = ip, c
			return ip, true
		}
	}
	return netip.Addr{}, false
}

// keep releases the stand-ins that a part had and does not use any more.
func (b *addressBook) keep(before, now *assembly) {
	if before == nil {
		return
	}
	used := make(map[claim]bool, len(now.claims))
	for _, c := range now.claims {
		used[c] = true
	}
	for _, c := range before.claims {
		if _, given := b.given[c]; given && !used[c] {
			b.release(c)
		}
	}
}
