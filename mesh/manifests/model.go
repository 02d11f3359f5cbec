package manifests

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// part is what all files together say of one namespace: every object once, with
// what an API server, the injector and the controllers would have added. Nothing in
// it depends on another namespace but the stand-in addresses, so that an edit costs
// as much as the namespace it is made in.
type part struct {
	services map[mesh.Name]*mesh.Service
	slices   map[mesh.Name]*mesh.Slice
	pods     map[mesh.Name]*mesh.Pod
	accounts map[mesh.Name]*mesh.ServiceAccount
	routes   map[mesh.Object]*mesh.Route
	// namespace is nil if no file holds the object.
	namespace *mesh.Namespace

	// claims are the stand-in addresses that the part uses.
	claims []claim
	// problems are those between objects: duplicates, addresses claimed twice.
	problems []Problem
}

// assembly is a part in the making.
type assembly struct {
	*part
	options Options
	book    *addressBook

	listServices []entry
	listPods     []entry // real pods, as their manifests say
	templates    []entry
	listSlices   []entry
	allPods      []entry // what became of listPods and templates
}

// collect sorts the entries of a namespace by what they are. Of an object that
// stands in two places the first one counts. Explicit addresses are not in the book
// yet: see addressBook.reserve.
func collect(entries []entry, o Options, book *addressBook) *assembly {
	a := &assembly{
		options: o,
		book:    book,
		part: &part{
			services: map[mesh.Name]*mesh.Service{},
			slices:   map[mesh.Name]*mesh.Slice{},
			pods:     map[mesh.Name]*mesh.Pod{},
			accounts: map[mesh.Name]*mesh.ServiceAccount{},
			routes:   map[mesh.Object]*mesh.Route{},
		},
	}
	first := make(map[objectID]place, len(entries))
	for _, e := range entries {
		if at, twice := first[e.id()]; twice {
			a.problem(e, Problem{
				Code: CodeDuplicate, Fix: "remove one of the two",
				Message: "stands in " + at.String() + " too, and only that one counts",
			})
			continue
		}
		first[e.id()] = e.at
		a.take(e)
	}
	byName(a.listServices)
	byName(a.listPods)
	slices.SortStableFunc(a.templates, compareWorkloads)
	return a
}

func (a *assembly) problem(e entry, p Problem) {
	p.File, p.Line, p.Kind, p.Name = e.at.file, e.at.line, e.kind, e.name
	a.problems = append(a.problems, p)
}

func (a *assembly) take(e entry) {
	switch {
	case e.namespace != nil:
		a.namespace = e.namespace
	case e.account != nil:
		a.accounts[e.name] = e.account
	case e.service != nil:
		a.listServices = append(a.listServices, e)
	case e.pod != nil && e.pod.Template:
		if !e.pod.owned {
			a.templates = append(a.templates, e)
		}
	case e.pod != nil:
		a.listPods = append(a.listPods, e)
	case e.route != nil:
		kind := mesh.ObjectHTTPRoute
		if e.route.GRPC != nil {
			kind = mesh.ObjectGRPCRoute
		}
		a.routes[mesh.Object{Kind: kind, Name: e.name}] = e.route
	default:
		a.listSlices = append(a.listSlices, e)
	}
}

// assemble makes the part of what was collected. The addresses of all namespaces
// that are made together are in the book before.
func (a *assembly) assemble(namespace string) {
	a.addAccount(namespace)
	a.addServices()
	a.addPods()
	a.addSlices()
}

// addAccount adds the account "default", as the service account controller does.
func (a *assembly) addAccount(namespace string) {
	name := mesh.Name{Namespace: namespace, Name: "default"}
	if a.accounts[name] == nil {
		a.accounts[name] = &mesh.ServiceAccount{Name: name}
	}
}

// addServices gives cluster IPs to the Services that have none.
func (a *assembly) addServices() {
	for _, e := range a.listServices {
		s := e.service.Service
		for _, ip := range s.Addresses {
			if first := a.book.firstClusterIP(ip); first.name != e.name {
				a.problem(e, Problem{
					Code: CodeSharedIP, Field: "spec.clusterIP",
					Message: fmt.Sprintf("%s is the cluster IP of Service %s too (%s)", ip, first.name, first.at),
					Fix:     "give each Service an address of its own, or none: it will be given one",
				})
			}
		}
		if e.service.wants {
			c := *s
			c.Addresses = a.addresses(e, e.service.familiesFor(a.options.ServiceRanges))
			s = &c
		}
		a.services[e.name] = s
	}
}

// addresses gives e one stand-in address per family.
func (a *assembly) addresses(e entry, families []family) []netip.Addr {
	var out []netip.Addr
	for _, f := range families {
		c := claim{e.kind, e.name, f}
		ip, ok := a.book.give(c)
		if !ok {
			a.problem(e, Problem{
				Code: CodeNoAddress, Message: "gets no address: no range has one left for it", Fix: "use a larger range",
			})
			continue
		}
		a.claims = append(a.claims, c)
		out = append(out, ip)
	}
	return out
}

func byName(list []entry) {
	slices.SortStableFunc(list, func(x, y entry) int { return x.name.Compare(y.name) })
}
