package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// IsHTTP reports that what speaks p is HTTP and nothing else.
func (p Protocol) IsHTTP() bool {
	return p == ProtocolHTTP || p == ProtocolHTTP2 || p == ProtocolGRPC
}

// ParentSelects reports whether a parentRef to a Service selects the port of it.
// parentRef.port is the number and parentRef.sectionName the name of a port; both
// together must fit, neither means every port (Gateway API v1.7, ParentReference).
func ParentSelects(ref *gatewayv1.ParentReference, p *Port) bool {
	return p.Protocol != ProtocolUDP &&
		(ref.Port == nil || *ref.Port == int32(p.Number)) &&
		(ref.SectionName == nil || *ref.SectionName == "" || string(*ref.SectionName) == p.Name)
}

// DeclaredHTTP reports that calls to a port of the Service are HTTP and nothing
// else: what a client has not said yet cannot be anything else either. The port says
// so itself, or one of those routes does, of which the Service is a parent: by naming
// the port, or by meaning all ports, among which are those that say nothing, and not
// those that say that they speak something else.
//
// A port on which the server speaks first is never one: nobody looks for HTTP there.
func DeclaredHTTP(settings *Settings, s *Service, p *Port, routes []*Route) bool {
	return (p.Protocol.IsHTTP() || routesDeclare(s, p, routes)) && !settings.ServerFirst(p.Number)
}

// routesDeclare reports that one of the routes makes the port one for HTTP. No route
// is attached to a Service that is headless or of type ExternalName.
func routesDeclare(s *Service, p *Port, routes []*Route) bool {
	if s.Headless || s.ExternalName != "" {
		return false
	}
	for _, r := range routes {
		refs := r.ParentRefs()
		for i := range refs {
			ref := &refs[i]
			parent, ok := ServiceParent(*ref, r.Meta().Namespace)
			if !ok || parent != s.Name || !ParentSelects(ref, p) {
				continue
			}
			named := ref.Port != nil || ref.SectionName != nil && *ref.SectionName != ""
			if named || p.Protocol == ProtocolUnspecified {
				return true
			}
		}
	}
	return false
}

// httpPorts are the ports on which workloads serve HTTP and nothing else. Each
// Service contributes those behind its own ports.
type httpPorts struct {
	services  map[Name][]servedPort // sorted, each once; replaced, never modified
	workloads map[Workload]*servedPorts
}

// servedPort is a port of a workload's pods.
type servedPort struct {
	workload Workload
	port     uint16
}

func compareServed(a, b servedPort) int {
	return cmp.Or(strings.Compare(a.workload.Kind, b.workload.Kind),
		a.workload.Name.Compare(b.workload.Name), cmp.Compare(a.port, b.port))
}

// servedPorts are those of one workload.
type servedPorts struct {
	services map[uint16]int // how many Services contribute the port
	list     []uint16       // sorted; replaced, never modified
}

func newHTTPPorts() httpPorts {
	return httpPorts{services: map[Name][]servedPort{}, workloads: map[Workload]*servedPorts{}}
}

// HTTPPorts implements View.
func (s *Store) HTTPPorts(w Workload) []uint16 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := s.http.workloads[w]; p != nil {
		return p.list
	}
	return nil
}

// HTTPPorts implements View.
func (t *Tracker) HTTPPorts(w Workload) []uint16 {
	t.note(httpPortsKey(w))
	return t.view.HTTPPorts(w)
}

// httpPortsKey names the HTTPPorts of a workload. No kind has a slash in it.
func httpPortsKey(w Workload) Key {
	return Key{Kind: KindHTTPPorts, Name: Name{Namespace: w.Name.Namespace, Name: w.Kind + "/" + w.Name.Name}}
}

// joinHTTPPorts has the Services contribute anew that the change touched, and names
// the workloads whose ports are different then. It goes by the keys of what is
// different, so it is the last.
func (c *change) joinHTTPPorts() {
	touched := map[*servedPorts]Workload{}
	for name := range c.servicesTouched() {
		old, now := c.http.services[name], c.contribution(name)
		if slices.Equal(old, now) {
			continue
		}
		putList(c.http.services, name, now)
		for _, s := range old {
			touched[c.http.count(s, -1)] = s.workload
		}
		for _, s := range now {
			touched[c.http.count(s, 1)] = s.workload
		}
	}
	for ports, workload := range touched {
		list := slices.Sorted(maps.Keys(ports.services))
		if !slices.Equal(list, ports.list) {
			ports.list = list
			c.keys = append(c.keys, httpPortsKey(workload))
		}
		if len(list) == 0 {
			delete(c.http.workloads, workload)
		}
	}
}

// putList stores a list, or deletes k if it is empty.
func putList[K comparable, V any](m map[K][]V, k K, v []V) {
	if len(v) == 0 {
		delete(m, k)
	} else {
		m[k] = v
	}
}

// count adds n to the Services that contribute a port.
func (h *httpPorts) count(s servedPort, n int) *servedPorts {
	ports := h.workloads[s.workload]
	if ports == nil {
		ports = &servedPorts{services: map[uint16]int{}}
		h.workloads[s.workload] = ports
	}
	if ports.services[s.port] += n; ports.services[s.port] == 0 {
		delete(ports.services, s.port)
	}
	return ports
}

// servicesTouched are the Services whose contribution may have changed.
func (c *change) servicesTouched() map[Name]struct{} {
	touched := map[Name]struct{}{}
	for _, k := range c.keys {
		switch k.Kind {
		case KindService, KindEndpoints, KindRoutes:
			touched[k.Name] = struct{}{}
		case KindSettings:
			if !slices.Equal(c.settings.AllServerFirstPorts(), c.settingsBefore.AllServerFirstPorts()) {
				for name := range c.services {
					touched[name] = struct{}{}
				}
			}
		case KindPod:
			// It may have kept name and address, and be another workload's now. Endpoints do
			// not tell.
			before, now := c.podsBefore[k.Name], c.pods[k.Name]
			if before == nil || now == nil || before.Workload == now.Workload {
				continue
			}
			for _, at := range now.Addresses {
				if a := c.addresses[plain(at)]; a != nil {
					for _, b := range a.users {
						touched[b.service] = struct{}{}
					}
				}
			}
		}
	}
	return touched
}

// contribution lists the ports behind those of the Service that are declared HTTP,
// by itself or by a route of its own namespace. Pods of other namespaces do not
// count, nor do consumer routes: to say what a port of a pod does not speak is to
// close it for that, which is for nobody outside its namespace to do. A consumer route
// concerns its own namespace's calls only.
func (c *change) contribution(name Name) []servedPort {
	service, backing := c.services[name], c.backings[name]
	if service == nil || backing == nil {
		return nil
	}
	var routes []*Route
	for _, r := range c.parents[name] {
		if r.Meta().Namespace == name.Namespace {
			routes = append(routes, r)
		}
	}
	list := endpointsList(backing.endpoints)
	var out []servedPort
	for i := range service.Ports {
		p := &service.Ports[i]
		if !DeclaredHTTP(c.settings, service, p, routes) {
			continue
		}
		var last servedPort // pods of a workload stand together, more often than not
		for j := range list {
			e := &list[j]
			number := e.Port(p.Name)
			pod := c.pods[e.Pod]
			if number == 0 || pod == nil || e.Pod.Namespace != name.Namespace {
				continue
			}
			if s := (servedPort{pod.Workload, number}); s != last {
				out, last = append(out, s), s
			}
		}
	}
	slices.SortFunc(out, compareServed)
	return slices.Compact(out)
}
