package mesh

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// world is a small random cluster: few names and few addresses, so that everything
// collides with everything.
type world struct {
	*rand.Rand
	services map[Name]*Service
	slices   map[Name]*Slice
	pods     map[Name]*Pod
	routes   map[Object]*Route
	settings Settings
}

var (
	worldNames     = []string{"a", "b", "c", "d"}
	worldAddresses = ips("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1", "fd00::2")
)

func newWorld(seed uint64) *world {
	return &world{
		Rand: rand.New(rand.NewPCG(seed, 0)), services: map[Name]*Service{}, slices: map[Name]*Slice{},
		pods: map[Name]*Pod{}, routes: map[Object]*Route{},
	}
}

func (w *world) one() string { return worldNames[w.IntN(len(worldNames))] }

func (w *world) some() []string {
	var out []string
	for _, a := range worldAddresses {
		if w.IntN(3) == 0 {
			out = append(out, a.String())
		}
	}
	return out
}

func (w *world) ports() []Port {
	var out []Port
	for i := range 1 + w.IntN(3) {
		protocols := []Protocol{ProtocolUnspecified, ProtocolHTTP, ProtocolGRPC, ProtocolTCP, ProtocolTLS, ProtocolUDP}
		out = append(out, Port{Name: worldNames[i], Number: uint16(80 + i), Protocol: protocols[w.IntN(len(protocols))]})
	}
	return out
}

// batch changes a few objects of the world and says so.
func (w *world) batch() Batch {
	var b Batch
	for range 1 + w.IntN(4) {
		remove := w.IntN(3) == 0
		switch n := w.one(); w.IntN(4) {
		case 0:
			if remove {
				delete(w.services, name(n))
				b.Deleted = append(b.Deleted, Object{ObjectService, name(n)})
				continue
			}
			v := svc(n, w.some()...)
			v.ExternalAddresses = ips(w.some()...)
			v.Ports, v.Headless = w.ports(), w.IntN(5) == 0
			w.services[v.Name] = v
		case 1:
			n = fmt.Sprint(n, "-", w.IntN(3))
			if remove {
				delete(w.slices, name(n))
				b.Deleted = append(b.Deleted, Object{ObjectSlice, name(n)})
				continue
			}
			v := slice(n, w.some()...)
			v.Ports = []EndpointPort{{Name: w.one(), Number: uint16(1 + w.IntN(3))}}
			for i := range v.Endpoints {
				if e := &v.Endpoints[i]; w.IntN(2) == 0 {
					e.TargetPod = name(fmt.Sprint(w.one(), "-", w.IntN(3)))
					e.TargetUID = []string{"", "uid-" + e.TargetPod.Name, "another"}[w.IntN(3)]
					e.Ready = w.IntN(2) == 0
				}
			}
			w.slices[v.Name] = v
		case 2:
			n = fmt.Sprint(n, "-", w.IntN(3))
			if remove {
				delete(w.pods, name(n))
				b.Deleted = append(b.Deleted, Object{ObjectPod, name(n)})
				continue
			}
			v := pod(n, w.some()...)
			if w.IntN(4) == 0 {
				v.Workload.Kind = "StatefulSet"
			}
			v.Meshed, v.Terminating, v.HostNetwork = w.IntN(2) == 0, w.IntN(3) == 0, w.IntN(5) == 0
			w.pods[v.Name] = v
		case 3:
			v := httpRoute(n, w.one(), w.one())
			if w.IntN(2) == 0 {
				v = grpcRoute(n, w.one())
			}
			for i := range v.ParentRefs() {
				switch ref := &v.ParentRefs()[i]; w.IntN(3) {
				case 0:
					ref.Port = new(gatewayv1.PortNumber(80 + w.IntN(3)))
				case 1:
					ref.SectionName = new(gatewayv1.SectionName(w.one()))
				}
			}
			if remove {
				delete(w.routes, v.id())
				b.Deleted = append(b.Deleted, v.id())
				continue
			}
			w.routes[v.id()] = v
		}
	}
	if w.IntN(5) == 0 {
		w.settings.ServerFirstPorts = []uint16{uint16(80 + w.IntN(4))}
	}
	b.Settings = new(w.settings)
	// All of the world is given: the store finds out what is different.
	b.Services = slices.Collect(maps.Values(w.services))
	b.Slices = slices.Collect(maps.Values(w.slices))
	b.Pods = slices.Collect(maps.Values(w.pods))
	b.Routes = slices.Collect(maps.Values(w.routes))
	return b
}

// answers is everything that a View says of the world, by key.
func answers(v View) map[Key]string {
	out := map[Key]string{}
	add := func(k Key, value any) { out[k] = fmt.Sprintf("%+v", value) }
	for _, a := range worldAddresses {
		add(Key{Kind: KindAddress, Address: a}, []any{v.Owner(a), v.Sharers(a)})
	}
	add(Key{Kind: KindExternal}, v.External())
	add(Key{Kind: KindSettings}, *v.Settings())
	for _, n := range worldNames {
		if s := v.Service(name(n)); s != nil {
			add(Key{Kind: KindService, Name: name(n)}, *s)
		}
		if e := v.Endpoints(name(n)); e != nil {
			add(Key{Kind: KindEndpoints, Name: name(n)}, *e)
		}
		var routes []string
		for _, r := range v.Routes(name(n)) {
			var refs []string
			for _, ref := range r.ParentRefs() {
				refs = append(refs, fmt.Sprint(ref.Name, deref(ref.Port), deref(ref.SectionName)))
			}
			routes = append(routes, fmt.Sprint(r.Kind(), r.Name(), refs))
		}
		if len(routes) > 0 {
			add(Key{Kind: KindRoutes, Name: name(n)}, routes)
		}
		for _, kind := range []string{"Deployment", "StatefulSet"} {
			if ports := v.HTTPPorts(Workload{kind, name(n)}); len(ports) > 0 {
				add(Key{Kind: KindHTTPPorts, Name: name(kind + "/" + n)}, ports)
			}
		}
		for i := range 3 {
			if p := v.Pod(name(fmt.Sprint(n, "-", i))); p != nil {
				add(Key{Kind: KindPod, Name: p.Name}, *p)
			}
		}
	}
	return out
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// TestRandomChanges: after any sequence of batches a store answers like one that was
// given the result at once, and each batch named exactly what it changed.
func TestRandomChanges(t *testing.T) {
	named := map[Kind]int{}
	for seed := range uint64(12) {
		w := newWorld(seed)
		store := NewStore(Settings{})
		before := answers(store)
		for step := range 40 {
			batch := w.batch()
			keys := store.Apply(batch)
			after := answers(store)
			fresh := NewStore(Settings{})
			batch.Deleted = nil
			fresh.Apply(batch)
			if diff := cmp.Diff(answers(fresh), after); diff != "" {
				t.Fatalf("seed %d, step %d: differs from a new store (-new +old)\n%s", seed, step, diff)
			}
			if got, want := keyNames(keys), keyNames(different(before, after)); got != want {
				t.Fatalf("seed %d, step %d: named %s\nchanged %s", seed, step, got, want)
			}
			before = after
			for _, k := range keys {
				named[k.Kind]++
			}
		}
	}
	for kind := KindService; kind <= KindHTTPPorts; kind++ {
		if kind != KindNamespace && named[kind] < 20 { // no namespaces in this world
			t.Errorf("%d changes of %s", named[kind], kind)
		}
	}
}

func different(before, after map[Key]string) (keys []Key) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for k := range all {
		if before[k] != after[k] {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}

// TestConcurrentReaders is for the race detector.
func TestConcurrentReaders(t *testing.T) {
	store := NewStore(Settings{})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					answers(Track(store))
					store.Pods()
					store.PodsOf(Workload{Kind: "Deployment", Name: name("a")})
					store.AllRoutes()
					store.Subscribe(func([]Key) {})()
				}
			}
		})
	}
	w := newWorld(1)
	for range 200 {
		store.Apply(w.batch())
	}
	close(done)
	readers.Wait()
}

// big fills a store with n Services and two pods each.
func big(n int) *Store {
	s := NewStore(Settings{})
	var b Batch
	for i := range n {
		app := fmt.Sprint("app", i)
		b.Services = append(b.Services, svc(app, netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}).String()))
		b.Slices = append(b.Slices, slice(app+"-x", bigAddress(i, 1), bigAddress(i, 2)))
		for j := range 2 {
			b.Pods = append(b.Pods, pod(fmt.Sprint(app, "-", j), bigAddress(i, 1+j)))
		}
	}
	s.Apply(b)
	return s
}

func bigAddress(i, j int) string {
	return netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)}).String()
}

// The benchmarks change one thing among 10,000 Services and 20,000 pods, and for
// comparison among 100: the cost has to be the same.

func BenchmarkApplySlice(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := big(n)
			two, one := slice("app7-x", bigAddress(7, 1), bigAddress(7, 2)), slice("app7-x", bigAddress(7, 1))
			benchmarkApply(b, s, Batch{Slices: []*Slice{one}}, Batch{Slices: []*Slice{two}}, 1)
		})
	}
}

func BenchmarkApplyPod(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := big(n)
			on, off := pod("app7-0", bigAddress(7, 1)), pod("app7-0", bigAddress(7, 1))
			off.Meshed = false
			benchmarkApply(b, s, Batch{Pods: []*Pod{off}}, Batch{Pods: []*Pod{on}}, 2)
		})
	}
}

// BenchmarkApplyPodOfMany changes one pod of 1,000 behind one Service.
func BenchmarkApplyPodOfMany(b *testing.B) {
	s := NewStore(Settings{})
	var batch Batch
	var list []string
	for i := range 1000 {
		list = append(list, bigAddress(i, 1))
		batch.Pods = append(batch.Pods, pod(fmt.Sprint("web-", i), bigAddress(i, 1)))
	}
	batch.Slices = []*Slice{slice("web-x", list...)}
	s.Apply(batch)
	on, off := pod("web-7", bigAddress(7, 1)), pod("web-7", bigAddress(7, 1))
	off.Meshed = false
	benchmarkApply(b, s, Batch{Pods: []*Pod{off}}, Batch{Pods: []*Pod{on}}, 2)
}

func benchmarkApply(b *testing.B, s *Store, one, other Batch, keys int) {
	b.ReportAllocs()
	for b.Loop() {
		if got := s.Apply(one); len(got) != keys {
			b.Fatal(got)
		}
		one, other = other, one
	}
}

func BenchmarkApplyAll(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		big(10_000)
	}
}
