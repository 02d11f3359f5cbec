package policy

import (
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// Lister is a View whose objects can be counted up; mesh.Store is one.
type Lister interface {
	mesh.View
	// Services returns all Services, Pods all pods and templates, AllRoutes all
	// routes, whatever their parents.
	Services() []*mesh.Service
	Pods() []*mesh.Pod
	AllRoutes() []*mesh.Route
}

// Lint returns all that is wrong or doubtful in the mesh's rules and Services,
// sorted by object and field: what stands behind the false conditions of Verdicts,
// and what no condition speaks of.
func Lint(l Lister) []Finding {
	var fs []Finding
	routes := l.AllRoutes()
	for _, r := range routes {
		fs = append(fs, lintRoute(l, r)...)
	}
	pods := podsByNamespace(l.Pods())
	for _, s := range l.Services() {
		fs = append(fs, lintReach(l, s)...)
		fs = append(fs, lintPorts(l.Settings(), s)...)
		fs = append(fs, lintSelector(s, pods[s.Name.Namespace])...)
		fs = append(fs, lintEndpoints(s, l.Endpoints(s.Name))...)
	}
	return onePerMatch(sortFindings(fs))
}

// onePerMatch keeps one finding for each match that is never reached: that it is
// so on two ports, or for two groups of callers, is one problem.
func onePerMatch(fs []Finding) []Finding {
	return slices.CompactFunc(fs, func(a, b Finding) bool {
		return a.Code == codeRuleUnreachable && b.Code == a.Code && a.Kind == b.Kind && a.Object == b.Object && a.Field == b.Field
	})
}

// lintRoute returns what is wrong with one route and with its parents.
func lintRoute(v mesh.View, r *mesh.Route) []Finding {
	c := compile(v, r)
	services, groupless := 0, 0
	var ps problems
	for i, ref := range r.ParentRefs() {
		parent, ok := mesh.ServiceParent(ref, r.Meta().Namespace)
		switch {
		case ok:
			services++
			ps = append(ps, c.lintParent(v, parent, i)...)
		case ref.Group == nil && ref.Kind != nil && *ref.Kind == "Service":
			groupless++
			ps = append(ps, refuse(codeParentGroup, "group", `write group: ""`, "without a group this means gateway.networking.k8s.io/Service, which does not exist").inItem("spec.parentRefs", i)...)
		}
	}
	if services == 0 {
		if groupless == 0 {
			ps = append(ps, warn(codeNoServiceParent, "spec.parentRefs", "", "no parent is a Service: the mesh leaves the route to others")...)
		}
		// What else it says is for others to judge.
		return ps.findings(r)
	}
	return append(ps, c.allProblems()...).findings(r)
}

// lintParent returns what is wrong with one parentRef to a Service.
func (c *compiled) lintParent(v mesh.View, parent mesh.Name, index int) problems {
	ref := &c.route.ParentRefs()[index]
	service := v.Service(parent)
	ports, ps := selectPorts(service, parent, ref)
	if len(ps) > 0 {
		return ps.inItem("spec.parentRefs", index)
	}
	_, ps = c.conflicts(v, service, ports)
	blind := slices.DeleteFunc(slices.Clone(ports), func(p uint16) bool { return seesHTTP(v.Settings(), service.Port(p)) })
	if len(blind) == len(ports) {
		ps = append(ps, warn(codePortNotHTTP, "", "attach the route to a port that speaks plain HTTP", "no HTTP can be seen on port %d of Service %s: %s",
			blind[0], parent, whyBlind(v.Settings(), service.Port(blind[0])))...)
	}
	return ps.inItem("spec.parentRefs", index)
}

// seesHTTP reports whether a sidecar looks for HTTP in calls to that port and can
// find it.
func seesHTTP(settings *mesh.Settings, p *mesh.Port) bool { return whyBlind(settings, p) == "" }

func whyBlind(settings *mesh.Settings, p *mesh.Port) string {
	switch {
	case p.Protocol == mesh.ProtocolTLS:
		return "its app makes its own TLS"
	case settings.ServerFirst(p.Number):
		return "it is one on which the server speaks first"
	}
	return ""
}
