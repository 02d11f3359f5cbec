package manifests

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// model is what all files of a folder say together: every object once, with what an
// API server, the injector and the controllers would have added.
type model struct {
	services   map[mesh.Name]*mesh.Service
	slices     map[mesh.Name]*mesh.Slice
	pods       map[mesh.Name]*mesh.Pod
	namespaces map[string]*mesh.Namespace
	accounts   map[mesh.Name]*mesh.ServiceAccount
	routes     map[mesh.Object]*mesh.Route

	// given is which stand-in address somebody has: it is kept for as long as the
	// model lives on (a watched folder), whoever else comes and goes.
	given map[claim]netip.Addr
	// problems are those between objects: duplicates, addresses claimed twice.
	problems []Problem
}

// assemble makes the model of the files, which are sorted by name. before is the
// model that this one replaces, or nil.
func assemble(files []*file, o Options, before *model) *model {
	a := &assembly{
		options: o,
		model: &model{
			services:   map[mesh.Name]*mesh.Service{},
			slices:     map[mesh.Name]*mesh.Slice{},
			pods:       map[mesh.Name]*mesh.Pod{},
			namespaces: map[string]*mesh.Namespace{},
			accounts:   map[mesh.Name]*mesh.ServiceAccount{},
			routes:     map[mesh.Object]*mesh.Route{},
			given:      map[claim]netip.Addr{},
		},
	}
	a.collect(files)
	a.addAccounts()
	a.addServices(before)
	a.addPods(before)
	a.addSlices()
	return a.model
}

// assembly is a model in the making.
type assembly struct {
	*model
	options Options

	listServices []entry
	listPods     []entry // real pods
	templates    []entry
	listSlices   []entry
}

// collect sorts the entries by what they are. Of an object that stands in two
// places the first one counts.
func (a *assembly) collect(files []*file) {
	type id struct {
		kind string
		name mesh.Name
	}
	first := map[id]place{}
	for _, f := range files {
		for _, e := range f.entries {
			key := id{e.kind, e.name}
			if at, twice := first[key]; twice {
				a.problems = append(a.problems, Problem{
					Code: CodeDuplicate, File: e.at.file, Line: e.at.line, Kind: e.kind, Name: e.name,
					Message: "stands in " + at.String() + " too, and only that one counts", Fix: "remove one of the two",
				})
				continue
			}
			first[key] = e.at
			a.take(e)
		}
	}
}

func (a *assembly) take(e entry) {
	switch {
	case e.namespace != nil:
		a.namespaces[e.name.Name] = e.namespace
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

// addAccounts adds the account "default" of every namespace in which there is
// something, as the service account controller does.
func (a *assembly) addAccounts() {
	add := func(namespace string) {
		name := mesh.Name{Namespace: namespace, Name: "default"}
		if a.accounts[name] == nil {
			a.accounts[name] = &mesh.ServiceAccount{Name: name}
		}
	}
	for name := range a.namespaces {
		add(name)
	}
	for _, list := range [][]entry{a.listPods, a.templates, a.listServices} {
		for _, e := range list {
			add(e.name.Namespace)
		}
	}
}

// addServices gives cluster IPs to the Services that have none.
func (a *assembly) addServices(before *model) {
	byName(a.listServices)
	ips := newAllocator(a.options.ServiceRanges, before)
	holder := map[netip.Addr]entry{}
	for _, e := range a.listServices {
		for _, ip := range e.service.Addresses {
			if first, taken := holder[ip]; taken {
				a.problems = append(a.problems, Problem{
					Code: CodeSharedIP, File: e.at.file, Line: e.at.line, Kind: e.kind, Name: e.name, Field: "spec.clusterIP",
					Message: fmt.Sprintf("%s is the cluster IP of Service %s too (%s)", ip, first.name, first.at),
					Fix:     "give each Service an address of its own, or none: it will be given one",
				})
				continue
			}
			holder[ip] = e
			ips.reserve(ip)
		}
	}
	for _, e := range a.listServices {
		for _, family := range e.service.familiesFor(a.options.ServiceRanges) {
			ips.want(claim{e.kind, e.name, family}, e)
		}
	}
	a.allocate(ips)
	for _, e := range a.listServices {
		s := e.service.Service
		if e.service.wants {
			c := *s
			c.Addresses = a.addresses(e, e.service.familiesFor(a.options.ServiceRanges))
			s = &c
		}
		a.services[e.name] = s
	}
}

// allocate gives out the addresses and keeps them in the model.
func (a *assembly) allocate(ips *allocator) {
	given, failed := ips.allocate()
	maps.Copy(a.given, given)
	for _, f := range failed {
		a.problems = append(a.problems, Problem{
			Code: CodeNoAddress, File: f.at.file, Line: f.at.line, Kind: f.kind, Name: f.name,
			Message: "gets no address: the range is used up", Fix: "use a larger range",
		})
	}
}

// addresses lists what e was given, in the order of the families.
func (a *assembly) addresses(e entry, families []family) []netip.Addr {
	var out []netip.Addr
	for _, f := range families {
		if ip, ok := a.given[claim{e.kind, e.name, f}]; ok {
			out = append(out, ip)
		}
	}
	return out
}

func byName(list []entry) {
	slices.SortStableFunc(list, func(x, y entry) int { return x.name.Compare(y.name) })
}
