// Package world is the cluster that the benchmarks are about: plain mesh values,
// computed from two numbers, the same in every process.
//
// Ten pods per Deployment, each with a service account of its own; Services that
// select them, with four endpoints each; every pod calls ten destinations, one of
// which all pods have in common.
package world

import (
	"fmt"
	"net/netip"

	"github.com/fairlead/fairlead/mesh"
)

const (
	// Namespace of everything.
	Namespace = "bench"
	// Destinations that each proxy calls.
	Destinations = 10
	// replicas of each Deployment.
	replicas = 10
	// backends of each Service.
	backends = 4
	// Spare Services are called by nobody: markers of those who come back.
	Spare = 20
)

// World has that many Services, and that many proxies.
type World struct {
	Services int `json:"services"`
	Proxies  int `json:"proxies"`
}

// workloads is the number of Deployments.
func (w World) workloads() int { return max(1, (w.Proxies+replicas-1)/replicas) }

// address of the n-th host in a /16, none of whose bytes is 0 or 255.
func address(a, b byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{a, b + byte(n/(250*250)), byte(1 + n/250%250), byte(1 + n%250)})
}

// Service returns the name of the i-th Service.
func (w World) Service(i int) mesh.Name {
	return mesh.Name{Namespace: Namespace, Name: fmt.Sprintf("svc-%d", i)}
}

// Cluster is the name by which an Envoy asks for the i-th Service on demand.
func (w World) Cluster(i int) string {
	return netip.AddrPortFrom(address(10, 96, i), 80).String()
}

// Endpoints is the name of the ClusterLoadAssignment of the i-th Service.
func (w World) Endpoints(i int) string { return w.Service(i).String() + ":80" }

// Peers is the name of the secret with the accounts behind the i-th Service.
func (w World) Peers(i int) string { return "peers/" + w.Service(i).String() }

// Marker is the ClusterLoadAssignment of the n-th Service that nobody calls.
func (w World) Marker(n int) string { return w.Endpoints(w.Services - 1 - n%Spare) }

// Calls are the clusters that proxy i asks for; those of all pods of a Deployment
// are the same, and the first one is every proxy's.
func (w World) Calls(i int) []string {
	names := []string{w.Cluster(0)}
	for k := range Destinations - 1 {
		names = append(names, w.Cluster(1+(i/replicas*(Destinations-1)+k)%(w.Services-Spare-1)))
	}
	return names
}

// AllClusters are the clusters of all Services.
func (w World) AllClusters() []string {
	names := make([]string, w.Services)
	for i := range names {
		names[i] = w.Cluster(i)
	}
	return names
}

// Batch is everything in the cluster.
func (w World) Batch() mesh.Batch {
	b := mesh.Batch{
		Settings:   w.settings(),
		Namespaces: []*mesh.Namespace{{Name: Namespace, Labels: map[string]string{"kubernetes.io/metadata.name": Namespace}}},
	}
	for i := range w.workloads() {
		b.Accounts = append(b.Accounts, &mesh.ServiceAccount{Name: mesh.Name{Namespace: Namespace, Name: app(i)}})
	}
	for i := range w.Proxies + 1 {
		b.Pods = append(b.Pods, w.Pod(i))
	}
	for i := range w.Services {
		b.Services = append(b.Services, w.service(i))
		b.Slices = append(b.Slices, w.Slice(i, true))
	}
	return b
}

func (w World) settings() *mesh.Settings {
	services := netip.MustParsePrefix("10.96.0.0/12")
	return &mesh.Settings{
		TrustDomain:   mesh.DefaultTrustDomain,
		Ranges:        []netip.Prefix{services, netip.MustParsePrefix("10.112.0.0/12")},
		ServiceRanges: []netip.Prefix{services},
	}
}

func app(i int) string { return fmt.Sprintf("app-%d", i) }

// Pod is the pod of proxy i. The one after the last is the scout: a pod of a
// Deployment of its own.
func (w World) Pod(i int) *mesh.Pod {
	a := app(i / replicas)
	if i == w.Proxies {
		a = "scout"
	}
	return &mesh.Pod{
		Name:           mesh.Name{Namespace: Namespace, Name: fmt.Sprintf("%s-%d", a, i%replicas)},
		UID:            fmt.Sprintf("00000000-0000-4000-8000-%012d", i),
		Addresses:      []netip.Addr{address(10, 112, i)},
		Labels:         map[string]string{"app": a},
		ServiceAccount: a,
		Workload:       mesh.Workload{Kind: "Deployment", Name: mesh.Name{Namespace: Namespace, Name: a}},
		Meshed:         true,
		Node:           fmt.Sprintf("node-%d", i%20),
		Ready:          true,
		Ports:          []mesh.ContainerPort{{Name: "http", Number: 8080}},
	}
}

func (w World) service(i int) *mesh.Service {
	return &mesh.Service{
		Name:      w.Service(i),
		Addresses: []netip.Addr{address(10, 96, i)},
		Ports:     []mesh.Port{{Name: "http", Number: 80, TargetPort: "http"}},
		Selector:  map[string]string{"app": app(i % w.workloads())},
	}
}

// Slice is the EndpointSlice of the i-th Service; whole says whether its last
// endpoint is ready.
func (w World) Slice(i int, whole bool) *mesh.Slice {
	name := w.Service(i)
	s := &mesh.Slice{
		Name:    mesh.Name{Namespace: Namespace, Name: name.Name + "-1"},
		Service: name,
		Ports:   []mesh.EndpointPort{{Name: "http", Number: 8080}},
	}
	first := i % w.workloads() * replicas
	for k := range backends {
		pod := w.Pod(min(first+k, w.Proxies-1))
		ready := whole || k < backends-1
		s.Endpoints = append(s.Endpoints, mesh.Endpoint{
			Address: pod.Addresses[0], Ports: s.Ports,
			Ready: ready, Serving: ready, Node: pod.Node, Pod: pod.Name,
		})
	}
	return s
}
