package sidecar

import (
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
)

const (
	namespace = "bench"
	appPort   = 8080
)

func settings() *mesh.Settings {
	services := netip.MustParsePrefix("10.96.0.0/12")
	return &mesh.Settings{
		TrustDomain:   mesh.DefaultTrustDomain,
		Ranges:        []netip.Prefix{services, lab.PodRanges()[0], netip.MustParsePrefix("10.245.0.0/16")},
		ServiceRanges: []netip.Prefix{services},
	}
}

// pod is a lab's pod in the model.
func pod(p *lab.Pod) *mesh.Pod {
	n := mesh.Name{Namespace: p.Spec.Namespace, Name: p.Spec.Name}
	return &mesh.Pod{
		Name: n, UID: p.UID, Addresses: p.Spec.Addresses, Labels: p.Spec.Labels,
		ServiceAccount: p.Spec.ServiceAccount,
		Workload:       mesh.Workload{Kind: "Deployment", Name: mesh.Name{Namespace: n.Namespace, Name: p.Spec.ServiceAccount}},
		Meshed:         true, Ready: true,
		Ports: []mesh.ContainerPort{{Name: "http", Number: appPort}},
	}
}

// serviceAddress is the cluster IP of the i-th Service.
func serviceAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 96, byte(1 + i/250), byte(1 + i%250)})
}

func serviceName(i int) mesh.Name {
	return mesh.Name{Namespace: namespace, Name: fmt.Sprintf("svc-%d", i)}
}

// services are the Services from first to last, without last, all of which lead to
// the backend.
func services(first, last int, backend *mesh.Pod) mesh.Batch {
	var b mesh.Batch
	for i := first; i < last; i++ {
		n := serviceName(i)
		b.Services = append(b.Services, &mesh.Service{
			Name: n, Addresses: []netip.Addr{serviceAddress(i)}, Selector: backend.Labels,
			Ports: []mesh.Port{{Name: "http", Number: 80, TargetPort: "http"}},
		})
		ports := []mesh.EndpointPort{{Name: "http", Number: appPort}}
		b.Slices = append(b.Slices, &mesh.Slice{
			Name: mesh.Name{Namespace: n.Namespace, Name: n.Name + "-1"}, Service: n, Ports: ports,
			Endpoints: []mesh.Endpoint{{
				Address: backend.Addresses[0], Ports: ports, Ready: true, Serving: true, Pod: backend.Name,
			}},
		})
	}
	return b
}

// rules give the Services from first to last, without last, a route with two
// rules: a path of its own goes to the next Service, the rest to the Service itself.
func rules(first, last int) mesh.Batch {
	var b mesh.Batch
	for i := first; i < last; i++ {
		b.Routes = append(b.Routes, &mesh.Route{HTTP: route(i)})
	}
	return b
}

func route(i int) *gatewayv1.HTTPRoute {
	group, kind, port := gatewayv1.Group(""), gatewayv1.Kind("Service"), gatewayv1.PortNumber(80)
	prefix, value := gatewayv1.PathMatchPathPrefix, "/next"
	n := serviceName(i)
	to := func(i int) []gatewayv1.HTTPBackendRef {
		return []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{
			Group: &group, Kind: &kind, Name: gatewayv1.ObjectName(serviceName(i).Name), Port: &port,
		}}}}
	}
	return &gatewayv1.HTTPRoute{
		TypeMeta:   metav1.TypeMeta{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute"},
		ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name, Generation: 1},
		Spec: gatewayv1.HTTPRouteSpec{
			CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{
				Group: &group, Kind: &kind, Name: gatewayv1.ObjectName(n.Name), Port: &port,
			}}},
			Rules: []gatewayv1.HTTPRouteRule{
				{
					Matches:     []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Type: &prefix, Value: &value}}},
					BackendRefs: to(i + 1),
				},
				{BackendRefs: to(i)},
			},
		},
	}
}

// podAddress is one of the addresses that lead to the backend. They are as if on
// another node, behind a route: a thousand neighbours on the caller's own link
// would overflow the kernel's table of them (net.ipv4.neigh.default.gc_thresh3).
func podAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 245, byte(100 + i/250), byte(1 + i%250)})
}

// pods have those addresses: in the model each is a pod of its own.
func pods(n int, backend *mesh.Pod) mesh.Batch {
	var b mesh.Batch
	for i := range n {
		p := *backend
		p.Name.Name = fmt.Sprintf("%s-%d", backend.Name.Name, i)
		p.UID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		p.Addresses = []netip.Addr{podAddress(i)}
		b.Pods = append(b.Pods, &p)
	}
	return b
}
