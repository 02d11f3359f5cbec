package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func name(s string) Name { return Name{Namespace: "shop", Name: s} }

func ips(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func svc(n string, addresses ...string) *Service {
	return &Service{Name: name(n), Addresses: ips(addresses...), Ports: []Port{{Number: 80}}}
}

// pod is a meshed pod of the Deployment that its name begins with: "web-1".
func pod(n string, addresses ...string) *Pod {
	workload, _, _ := strings.Cut(n, "-")
	return &Pod{
		Name: name(n), UID: "uid-" + n, Addresses: ips(addresses...), Meshed: true, Ready: true,
		ServiceAccount: workload, Workload: Workload{Kind: "Deployment", Name: name(workload)},
	}
}

// slice is one of the Service that its name begins with.
func slice(n string, addresses ...string) *Slice {
	service, _, _ := strings.Cut(n, "-")
	s := &Slice{Name: name(n), Service: name(service), Ports: []EndpointPort{{Number: 8080}}}
	for _, ip := range ips(addresses...) {
		s.Endpoints = append(s.Endpoints, Endpoint{Address: ip, Ready: true, Serving: true})
	}
	return s
}

// httpRoute is one with these Services as parents.
func httpRoute(n string, parents ...string) *Route {
	r := &gatewayv1.HTTPRoute{}
	r.Name, r.Namespace = n, "shop"
	r.Spec.ParentRefs = parentRefs(parents)
	return &Route{HTTP: r}
}

func grpcRoute(n string, parents ...string) *Route {
	r := &gatewayv1.GRPCRoute{}
	r.Name, r.Namespace = n, "shop"
	r.Spec.ParentRefs = parentRefs(parents)
	return &Route{GRPC: r}
}

func parentRefs(names []string) (out []gatewayv1.ParentReference) {
	group, kind := gatewayv1.Group(""), gatewayv1.Kind("Service")
	for _, n := range names {
		out = append(out, gatewayv1.ParentReference{Group: &group, Kind: &kind, Name: gatewayv1.ObjectName(n)})
	}
	return out
}

func keyNames(keys []Key) string {
	var words []string
	for _, k := range keys {
		words = append(words, k.String())
	}
	return strings.Join(words, "; ")
}

// TestApplyNamesWhatChanged applies batches one after the other to a store that
// begins with web (one endpoint, one pod, one route).
func TestApplyNamesWhatChanged(t *testing.T) {
	steps := []struct {
		why   string
		batch Batch
		want  string
	}{
		{"the beginning", Batch{
			Services: []*Service{svc("web", "10.96.0.1", "fd00:96::1")}, Slices: []*Slice{slice("web-1", "10.0.0.1")},
			Pods: []*Pod{pod("web-1", "10.0.0.1", "fd00::1")}, Routes: []*Route{httpRoute("r", "web")},
			Namespaces: []*Namespace{{Name: "shop"}},
		}, "Service shop/web; Service shop/web: endpoints; Service shop/web: routes; " +
			"address 10.0.0.1; address 10.96.0.1; address fd00::1; address fd00:96::1; Pod shop/web-1; Namespace shop; deployment/shop/web: HTTP ports"},
		{"equal values say nothing", Batch{
			Services: []*Service{svc("web", "10.96.0.1", "fd00:96::1")}, Slices: []*Slice{slice("web-1", "10.0.0.1")},
			Pods: []*Pod{pod("web-1", "10.0.0.1", "fd00::1")}, Routes: []*Route{httpRoute("r", "web")},
			Namespaces: []*Namespace{{Name: "shop"}}, Settings: &Settings{},
		}, ""},
		{"nor does another place", Batch{Services: []*Service{
			{Name: name("web"), Addresses: ips("10.96.0.1", "fd00:96::1"), Ports: []Port{{Number: 80}}, Source: "b.yaml:1"}}}, ""},
		{"deleted and given again, equal", Batch{
			Deleted:  []Object{{ObjectService, name("web")}, {ObjectPod, name("web-1")}, {ObjectSlice, name("web-1")}, {ObjectHTTPRoute, name("r")}},
			Services: []*Service{svc("web", "10.96.0.1", "fd00:96::1")}, Slices: []*Slice{slice("web-1", "10.0.0.1")},
			Pods: []*Pod{pod("web-1", "10.0.0.1", "fd00::1")}, Routes: []*Route{httpRoute("r", "web")},
		}, ""},
		{"a cluster IP more, another less", Batch{Services: []*Service{svc("web", "10.96.0.1", "10.96.0.2")}},
			"Service shop/web; address 10.96.0.2; address fd00:96::1"},
		{"an endpoint", Batch{Slices: []*Slice{slice("web-2", "10.0.0.2")}}, "Service shop/web: endpoints"},
		{"its pod comes later", Batch{Pods: []*Pod{pod("web-2", "10.0.0.2")}},
			"Service shop/web: endpoints; address 10.0.0.2; Pod shop/web-2"},
		{"a pod that is no endpoint", Batch{Pods: []*Pod{pod("job-1", "10.0.0.9")}}, "address 10.0.0.9; Pod shop/job-1"},
		{"what endpoints do not read of a pod", Batch{Pods: []*Pod{
			func() *Pod { p := pod("web-2", "10.0.0.2"); p.Labels = map[string]string{"a": "b"}; return p }()}},
			"Pod shop/web-2"},
		{"what they do", Batch{Pods: []*Pod{
			func() *Pod { p := pod("web-2", "10.0.0.2"); p.Meshed = false; return p }()}},
			"Service shop/web: endpoints; Pod shop/web-2"},
		{"a slice moves to another Service", Batch{Slices: []*Slice{
			func() *Slice { s := slice("web-2", "10.0.0.2"); s.Service = name("api"); return s }()}},
			"Service shop/api: endpoints; Service shop/web: endpoints"},
		{"a route moves to another parent", Batch{Routes: []*Route{httpRoute("r", "api")}},
			"Service shop/api: routes; Service shop/web: routes; deployment/shop/web: HTTP ports"},
		{"a GRPCRoute of the same name", Batch{Routes: []*Route{grpcRoute("r", "api", "web")}},
			"Service shop/api: routes; Service shop/web: routes; deployment/shop/web: HTTP ports"},
		{"an address with a new owner", Batch{Deleted: []Object{{ObjectPod, name("job-1")}}, Services: []*Service{svc("api", "10.0.0.9")}},
			"Service shop/api; address 10.0.0.9; Pod shop/job-1"},
		{"an external address", Batch{Services: []*Service{
			{Name: name("lb"), ExternalAddresses: ips("192.0.2.1")}, {Name: name("lb2"), ExternalAddresses: ips("192.0.2.1")}}},
			"Service shop/lb; Service shop/lb2; address 192.0.2.1; external addresses"},
		{"one of two that share it", Batch{Deleted: []Object{{ObjectService, name("lb")}}}, "Service shop/lb; address 192.0.2.1"},
		{"the last one", Batch{Deleted: []Object{{ObjectService, name("lb2")}}}, "Service shop/lb2; address 192.0.2.1; external addresses"},
		{"settings", Batch{Settings: &Settings{TrustDomain: "example.org"}}, "settings"},
		{"accounts have no key", Batch{Accounts: []*ServiceAccount{{Name: name("web")}}}, ""},
		{"everything goes", Batch{Deleted: []Object{
			{ObjectService, name("web")}, {ObjectService, name("api")}, {ObjectSlice, name("web-1")}, {ObjectSlice, name("web-2")},
			{ObjectPod, name("web-1")}, {ObjectPod, name("web-2")}, {ObjectHTTPRoute, name("r")}, {ObjectGRPCRoute, name("r")},
			{ObjectNamespace, Name{Name: "shop"}}, {ObjectServiceAccount, name("web")}, {ObjectPod, name("never-was")},
		}}, "Service shop/api; Service shop/web; Service shop/api: endpoints; Service shop/web: endpoints; " +
			"Service shop/api: routes; Service shop/web: routes; address 10.0.0.1; address 10.0.0.2; address 10.0.0.9; " +
			"address 10.96.0.1; address 10.96.0.2; address fd00::1; Pod shop/web-1; Pod shop/web-2; Namespace shop; deployment/shop/web: HTTP ports"},
	}
	s := NewStore(Settings{})
	var notified []Key
	s.Subscribe(func(keys []Key) { notified = append(notified, keys...) })
	var all []Key
	for _, step := range steps {
		keys := s.Apply(step.batch)
		if got := keyNames(keys); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.why, got, step.want)
		}
		all = append(all, keys...)
	}
	if !slices.Equal(all, notified) {
		t.Error("subscribers are told what Apply returns")
	}
	for what, n := range map[string]int{
		"addresses": len(s.addresses), "backings": len(s.backings), "parents": len(s.parents), "uids": len(s.uids),
		"workloads": len(s.workloads), "claims": len(s.claims), "slices": len(s.slices),
		"Services with HTTP ports": len(s.http.services), "workloads with HTTP ports": len(s.http.workloads),
	} {
		if n != 0 {
			t.Errorf("%d %s are left in an empty store", n, what)
		}
	}
}

func TestEndpointsJoin(t *testing.T) {
	s := NewStore(Settings{})
	host := pod("agent-1", "10.0.0.3")
	host.HostNetwork = true
	bare := pod("bare-1", "10.0.0.4")
	bare.Meshed = false
	going := pod("old-1", "10.0.0.1")
	going.Terminating = true
	two := slice("web-2", "::ffff:10.0.0.1", "fd00::1%eth0")
	two.Ports = []EndpointPort{{Name: "", Number: 9999}, {Name: "metrics", Number: 9090}}
	two.Endpoints[0].Ready, two.Endpoints[0].Node = false, "node-1"
	s.Apply(Batch{
		Pods:   []*Pod{going, pod("web-1", "10.0.0.1", "fd00::1"), host, bare},
		Slices: []*Slice{two, slice("web-1", "10.0.0.5", "10.0.0.4", "10.0.0.3", "10.0.0.1")},
	})
	web := Endpoint{Pod: name("web-1"), Meshed: true, Account: name("web"), Ready: true, Serving: true}
	with := func(e Endpoint, change func(*Endpoint)) Endpoint { change(&e); return e }
	plainPorts, both := []EndpointPort{{Number: 8080}}, []EndpointPort{{Number: 8080}, {Name: "metrics", Number: 9090}}
	want := &Endpoints{Service: name("web"), List: []Endpoint{
		with(web, func(e *Endpoint) { e.Address, e.Ports, e.Node = ips("10.0.0.1")[0], both, "node-1" }),
		{Address: ips("10.0.0.3")[0], Ports: plainPorts, Ready: true, Serving: true}, // the node's
		{Address: ips("10.0.0.4")[0], Ports: plainPorts, Ready: true, Serving: true, Pod: name("bare-1")},
		{Address: ips("10.0.0.5")[0], Ports: plainPorts, Ready: true, Serving: true}, // outside of the cluster
		with(web, func(e *Endpoint) { e.Address, e.Ports = ips("fd00::1")[0], two.Ports }),
	}}
	if diff := cmp.Diff(want, s.Endpoints(name("web")), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if s.Endpoints(name("none")) != nil {
		t.Error("no endpoints are nil")
	}
	if got := s.Owner(netip.MustParseAddr("::ffff:10.0.0.1")); got.Pod != name("web-1") {
		t.Errorf("a live pod goes before one on its way out: %v", got)
	}
	// A value that was given out does not change.
	before := s.Endpoints(name("web"))
	kept := slices.Clone(before.List)
	s.Apply(Batch{Deleted: []Object{{ObjectPod, name("web-1")}}})
	if !equalEndpoints(before.List, kept) {
		t.Error("a reader's list was modified")
	}
	if got := s.Endpoints(name("web")).List[0]; got.Pod != name("old-1") {
		t.Errorf("now it is the other pod's: %v", got.Pod)
	}
}

// TestUnknownPods: slices and pods come by separate ways, in any order. Whether a
// pod that a slice names has a sidecar is never guessed.
func TestUnknownPods(t *testing.T) {
	names := func(change func(*Endpoint)) *Slice {
		s := slice("web-1", "10.0.0.1")
		s.Endpoints[0].TargetPod, s.Endpoints[0].TargetUID = name("web-1"), "uid-web-1"
		change(&s.Endpoints[0])
		return s
	}
	asItIs := func(*Endpoint) {}
	host := pod("web-1", "10.0.0.1")
	host.HostNetwork, host.Meshed = true, false
	reborn := pod("web-1", "10.0.0.1")
	reborn.UID = "uid-of-the-next"
	noUID := pod("web-1", "10.0.0.1")
	noUID.UID = ""
	other := pod("api-1", "10.0.0.1")
	going := pod("web-1", "10.0.0.1")
	going.Terminating = true
	cases := []struct {
		why   string
		slice *Slice
		pods  []*Pod
		want  string // the pod, "unknown", or "outside"
	}{
		{"the pod that is named", names(asItIs), []*Pod{pod("web-1", "10.0.0.1")}, "web-1 meshed"},
		{"the slice knows no UID", names(func(e *Endpoint) { e.TargetUID = "" }), []*Pod{pod("web-1", "10.0.0.1")}, "web-1 meshed"},
		{"the store knows no UID", names(asItIs), []*Pod{noUID}, "web-1 meshed"},
		{"the pod is not there: not yet, or no longer", names(asItIs), nil, "unknown"},
		{"it has no address yet", names(asItIs), []*Pod{pod("web-1")}, "unknown"},
		{"it has another address", names(asItIs), []*Pod{pod("web-1", "10.0.0.2")}, "unknown"},
		{"the next pod of that name", names(asItIs), []*Pod{reborn}, "unknown"},
		{"another pod has the address", names(asItIs), []*Pod{other}, "unknown"},
		{"another pod has got the address", names(asItIs), []*Pod{going, other}, "unknown"},
		{"on its way out", names(asItIs), []*Pod{going}, "web-1 meshed"},
		{"on the host's network: the node's address", names(asItIs), []*Pod{host}, "outside"},
		{"no pod is named, no pod has it", slice("web-1", "10.0.0.1"), nil, "outside"},
		{"no pod is named, a pod has it", slice("web-1", "10.0.0.1"), []*Pod{other}, "api-1 meshed"},
	}
	describe := func(s *Store) string {
		e := s.Endpoints(name("web")).List[0]
		owner := s.Owner(e.Address)
		if e.Unknown != (owner.UnknownPod || owner.Pod != e.Pod) {
			t.Errorf("endpoint %+v, owner %+v", e, owner)
		}
		switch {
		case e.Unknown:
			if e.Meshed || !e.Pod.IsZero() || !e.Account.IsZero() {
				t.Errorf("unknown, but %+v", e)
			}
			return "unknown"
		case e.Pod.IsZero():
			return "outside"
		case e.Meshed:
			return e.Pod.Name + " meshed"
		}
		return e.Pod.Name
	}
	for _, c := range cases {
		slice, pods := Batch{Slices: []*Slice{c.slice}}, Batch{Pods: c.pods}
		for _, order := range [][]Batch{{slice, pods}, {pods, slice}} {
			s := NewStore(Settings{})
			for _, b := range order {
				s.Apply(b)
			}
			if got := describe(s); got != c.want {
				t.Errorf("%s: %s, want %s", c.why, got, c.want)
			}
		}
	}

	s := NewStore(Settings{})
	s.Apply(Batch{Slices: []*Slice{names(asItIs)}})
	for _, step := range []struct {
		why   string
		batch Batch
		want  string
	}{
		{"the pod arrives", Batch{Pods: []*Pod{pod("web-1", "10.0.0.1")}}, "Service shop/web: endpoints; address 10.0.0.1; Pod shop/web-1"},
		{"and goes", Batch{Deleted: []Object{{ObjectPod, name("web-1")}}}, "Service shop/web: endpoints; address 10.0.0.1; Pod shop/web-1"},
		{"one on the host's network arrives", Batch{Pods: []*Pod{host}}, "Service shop/web: endpoints; address 10.0.0.1; Pod shop/web-1"},
		{"and goes", Batch{Deleted: []Object{{ObjectPod, name("web-1")}}}, "Service shop/web: endpoints; address 10.0.0.1; Pod shop/web-1"},
		{"the slice goes", Batch{Deleted: []Object{{ObjectSlice, name("web-1")}}}, "Service shop/web: endpoints; address 10.0.0.1"},
	} {
		if got := keyNames(s.Apply(step.batch)); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.why, got, step.want)
		}
	}
	if len(s.addresses) != 0 {
		t.Errorf("%d addresses are left", len(s.addresses))
	}
}

// While an endpoint moves between slices it stands in both, and so do two pods that
// have an address one after the other.
func TestUnknownPodInTwoSlices(t *testing.T) {
	in := func(n, pod string, ready bool) *Slice {
		s := slice(n, "10.0.0.1")
		s.Endpoints[0].Ready = ready
		if pod != "" {
			s.Endpoints[0].TargetPod, s.Endpoints[0].TargetUID = name(pod), "uid-"+pod
		}
		return s
	}
	for _, c := range []struct {
		why    string
		slices []*Slice
		pod    Name
	}{
		{"both name it", []*Slice{in("web-1", "web-2", true), in("web-2", "web-2", true)}, name("web-2")},
		{"one names it", []*Slice{in("web-1", "", true), in("web-2", "web-2", false)}, name("web-2")},
		{"one names the pod before", []*Slice{in("web-1", "web-1", false), in("web-2", "web-2", true)}, name("web-2")},
		{"the other one does", []*Slice{in("web-1", "web-2", true), in("web-2", "web-1", false)}, name("web-2")},
		{"one names a pod that is not there", []*Slice{in("web-1", "", true), in("web-2", "web-3", true)}, Name{}},
	} {
		s := NewStore(Settings{})
		s.Apply(Batch{Pods: []*Pod{pod("web-2", "10.0.0.1")}, Slices: c.slices})
		e := s.Endpoints(name("web")).List[0]
		if e.Pod != c.pod || e.Unknown != c.pod.IsZero() {
			t.Errorf("%s: %+v", c.why, e)
		}
	}
}

func TestOwner(t *testing.T) {
	aged := func(s *Service, seconds int64) *Service {
		s.Created = time.Unix(seconds, 0)
		return s
	}
	external := func(n string, seconds int64) *Service {
		return aged(&Service{Name: name(n), ExternalAddresses: ips("10.96.0.1")}, seconds)
	}
	cases := []struct {
		why      string
		services []*Service
		want     string
	}{
		{"a pod goes before external addresses", []*Service{external("a", 1), external("b", 2)}, ""},
		{"the older one", []*Service{aged(svc("a", "10.96.0.1"), 2), aged(svc("b", "10.96.0.1"), 1)}, "b a"},
		{"by name, if of one age", []*Service{svc("b", "10.96.0.1"), svc("a", "10.96.0.1")}, "a b"},
		{"a cluster IP goes before an external address", []*Service{external("a", 1), aged(svc("b", "10.96.0.1"), 2)}, "b a"},
		{"a cluster IP is shared with external addresses", []*Service{external("a", 2), external("b", 1), svc("c", "10.96.0.1")}, "c b a"},
	}
	for _, c := range cases {
		for range 2 {
			s := NewStore(Settings{})
			for _, v := range c.services {
				s.Apply(Batch{Services: []*Service{v}, Pods: []*Pod{pod("p-1", "10.96.0.1")}})
			}
			at := netip.MustParseAddr("10.96.0.1")
			var got []string
			for _, n := range s.Sharers(at) {
				got = append(got, n.Name)
			}
			owner := Owner{Pod: name("p-1")}
			if c.want != "" {
				owner = Owner{Service: name(c.want[:1])}
			}
			if strings.Join(got, " ") != c.want || s.Owner(at) != owner {
				t.Errorf("%s: %v, owner %v", c.why, got, s.Owner(at))
			}
			slices.Reverse(c.services) // whatever the order
		}
	}
	// Without the pod the address is the older Service's; while a slice says that it is
	// a pod's, nobody's.
	s := NewStore(Settings{})
	s.Apply(Batch{Services: []*Service{external("a", 2), external("b", 1)}})
	at := netip.MustParseAddr("10.96.0.1")
	if got := fmt.Sprint(s.Owner(at).Service, s.Sharers(at)); got != "shop/b [shop/b shop/a]" {
		t.Errorf("external ones by age: %s", got)
	}
	listed := slice("c-1", "10.96.0.1")
	listed.Endpoints[0].TargetPod = name("p-1")
	for _, step := range []struct {
		batch Batch
		owner Owner
	}{
		{Batch{Slices: []*Slice{listed}}, Owner{UnknownPod: true}},
		{Batch{Pods: []*Pod{pod("p-1", "10.96.0.1")}}, Owner{Pod: name("p-1")}},
	} {
		keys := s.Apply(step.batch)
		if s.Owner(at) != step.owner || s.Sharers(at) != nil || !slices.Contains(keys, Key{Kind: KindAddress, Address: at}) {
			t.Errorf("owner %v, want %v; sharers %v; %s", s.Owner(at), step.owner, s.Sharers(at), keyNames(keys))
		}
	}
}

func TestLookups(t *testing.T) {
	s := NewStore(Settings{})
	s.Apply(Batch{
		Pods:       []*Pod{pod("web-2", "10.0.0.2"), pod("web-1", "10.0.0.1"), pod("api-1", "10.0.0.3")},
		Services:   []*Service{svc("web"), svc("api")},
		Accounts:   []*ServiceAccount{{Name: name("b")}, {Name: name("a")}},
		Namespaces: []*Namespace{{Name: "b"}, {Name: "a"}},
		Routes:     []*Route{httpRoute("b", "web", "web"), grpcRoute("a", "web"), httpRoute("a", "api"), httpRoute("c")},
	})
	show := func(list ...any) string { return fmt.Sprint(list...) }
	podNames := func(pods []*Pod) (out []string) {
		for _, p := range pods {
			out = append(out, p.Name.Name)
		}
		return out
	}
	routeNames := func(routes []*Route) (out []string) {
		for _, r := range routes {
			out = append(out, r.Kind()+"/"+r.Name().Name)
		}
		return out
	}
	for got, want := range map[string]string{
		show(podNames(s.Pods())): "[api-1 web-1 web-2]",
		show(podNames(s.PodsOf(Workload{Kind: "Deployment", Name: name("web")}))): "[web-1 web-2]",
		show(s.PodByUID("uid-web-2").Name, s.PodByUID("none")):                    "shop/web-2 <nil>",
		show(routeNames(s.AllRoutes())):                                           "[GRPCRoute/a HTTPRoute/a HTTPRoute/b HTTPRoute/c]",
		show(routeNames(s.Routes(name("web")))):                                   "[GRPCRoute/a HTTPRoute/b]",
		show(s.Services()[0].Name, s.Services()[1].Name):                          "shop/api shop/web",
		show(s.Accounts()[0].Name, s.Account(name("b")).Name, s.Account(Name{})):  "shop/a shop/b <nil>",
		show(s.Namespaces()[0].Name, s.Namespace("b").Name):                       "ab",
		show(s.Settings().TrustDomain):                                            "cluster.local",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	old := httpRoute("z", "web")
	old.HTTP.CreationTimestamp.Time = time.Unix(-1e9, 0)
	young := httpRoute("0", "web")
	young.HTTP.CreationTimestamp.Time = time.Unix(1e9, 0)
	s.Apply(Batch{Routes: []*Route{young, old}})
	if got := show(routeNames(s.Routes(name("web")))); got != "[GRPCRoute/a HTTPRoute/b HTTPRoute/z HTTPRoute/0]" {
		t.Errorf("without a time, then oldest first: %s", got)
	}
}

func TestSubscribe(t *testing.T) {
	s := NewStore(Settings{})
	var seen []string
	note := func(who string) func([]Key) {
		return func(keys []Key) {
			if s.Service(name("web")) == nil { // visible by now
				who += " too early"
			}
			seen = append(seen, who+": "+keyNames(keys))
		}
	}
	cancel := s.Subscribe(note("a"))
	s.Subscribe(note("b"))
	s.Apply(Batch{Services: []*Service{svc("web")}})
	s.Apply(Batch{Services: []*Service{svc("web")}})
	cancel()
	cancel()
	s.Apply(Batch{Services: []*Service{svc("api")}})
	want := []string{"a: Service shop/web", "b: Service shop/web", "b: Service shop/api"}
	if !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestTracker(t *testing.T) {
	s := NewStore(Settings{})
	s.Apply(Batch{Services: []*Service{svc("web", "10.96.0.1")}})
	tr := Track(s)
	tr.Service(name("web"))
	tr.Service(name("web"))
	tr.Service(name("none"))
	tr.Owner(netip.MustParseAddr("::ffff:10.96.0.1"))
	tr.Sharers(netip.MustParseAddr("10.96.0.1"))
	tr.Endpoints(name("web"))
	tr.Routes(name("web"))
	tr.Pod(name("p"))
	tr.Namespace("shop")
	tr.Settings()
	tr.External()
	want := "Service shop/none; Service shop/web; Service shop/web: endpoints; Service shop/web: routes; " +
		"address 10.96.0.1; Pod shop/p; Namespace shop; settings; external addresses"
	if got := keyNames(tr.Keys()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range 100 {
		tr.Pod(name(fmt.Sprint("p", i%50)))
	}
	if got := len(tr.Keys()); got != 9+50 {
		t.Errorf("%d keys, each once", got)
	}
}
