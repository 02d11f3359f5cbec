package mesh

import (
	"fmt"
	"slices"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// TestDeclaredHTTP is about one port of a Service, and the routes that name the Service.
func TestDeclaredHTTP(t *testing.T) {
	whole, other := httpRoute("r", "web"), httpRoute("r", "api")
	byNumber, byName, elsewhere := httpRoute("r", "web"), grpcRoute("r", "web"), httpRoute("r", "web")
	byNumber.HTTP.Spec.ParentRefs[0].Port = new(gatewayv1.PortNumber(80))
	byName.GRPC.Spec.ParentRefs[0].SectionName = new(gatewayv1.SectionName("main"))
	elsewhere.HTTP.Spec.ParentRefs[0].Port = new(gatewayv1.PortNumber(81))
	gateway := httpRoute("r", "web")
	gateway.HTTP.Spec.ParentRefs[0].Kind = new(gatewayv1.Kind("Gateway"))

	for _, c := range []struct {
		why   string
		port  Port
		route *Route
		want  bool
	}{
		{"by itself", Port{Protocol: ProtocolHTTP}, nil, true},
		{"HTTP/2", Port{Protocol: ProtocolHTTP2}, nil, true},
		{"gRPC", Port{Protocol: ProtocolGRPC}, nil, true},
		{"it says nothing", Port{}, nil, false},
		{"it says nothing, but a route of the Service does", Port{}, whole, true},
		{"a route that names it", Port{}, byNumber, true},
		{"a route that names it by its name", Port{}, byName, true},
		{"a route of another port", Port{}, elsewhere, false},
		{"a route of another Service", Port{}, other, false},
		{"a route of a Gateway", Port{}, gateway, false},
		{"something else, and a route of the Service", Port{Protocol: ProtocolTCP}, whole, false},
		{"TLS, and a route of the Service", Port{Protocol: ProtocolTLS}, whole, false},
		{"something else, but a route that names it", Port{Protocol: ProtocolTCP}, byNumber, true},
		{"TLS, but a route that names it", Port{Protocol: ProtocolTLS}, byName, true},
		{"UDP", Port{Protocol: ProtocolUDP}, byNumber, false},
		{"the server speaks first", Port{Number: 3306, Protocol: ProtocolHTTP}, nil, false},
	} {
		if c.port.Number == 0 {
			c.port.Number = 80
		}
		c.port.Name = "main"
		var routes []*Route
		if c.route != nil {
			routes = append(routes, c.route)
		}
		s := svc("web", "10.96.0.1")
		if got := DeclaredHTTP(&Settings{}, s, &c.port, routes); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
		// No route is attached to a Service without an address of its own.
		s.Headless = true
		if got := DeclaredHTTP(&Settings{}, s, &c.port, routes); got != (c.want && c.port.Protocol.IsHTTP()) {
			t.Errorf("headless, %s: %v", c.why, got)
		}
	}
	if DeclaredHTTP(&Settings{ServerFirstPorts: []uint16{80}}, svc("web"), &Port{Number: 80, Protocol: ProtocolHTTP}, nil) {
		t.Error("the mesh says that the server speaks first")
	}
}

// TestHTTPPorts applies batches one after the other: what a Deployment serves.
func TestHTTPPorts(t *testing.T) {
	web := Workload{Kind: "Deployment", Name: name("web")}
	service := func(n string, protocols ...Protocol) *Service {
		s := svc(n, "10.96.0.1")
		s.Ports = nil
		for i, p := range protocols {
			s.Ports = append(s.Ports, Port{Name: fmt.Sprint("p", i), Number: uint16(80 + i), Protocol: p})
		}
		return s
	}
	behind := func(n string, numbers ...uint16) *Slice {
		s := slice(n, "10.0.0.1", "10.0.0.2")
		s.Ports = nil
		for i, p := range numbers {
			s.Ports = append(s.Ports, EndpointPort{Name: fmt.Sprint("p", i), Number: p})
		}
		return s
	}
	foreign := func(n string) Name { return Name{Namespace: "other", Name: n} }
	consumer := httpRoute("r", "web")
	consumer.HTTP.Namespace = "other"
	consumer.HTTP.Spec.ParentRefs[0].Namespace = new(gatewayv1.Namespace("shop"))
	moved := pod("web-1", "10.0.0.1")
	moved.Workload = Workload{Kind: "Pod", Name: name("web-1")}

	s := NewStore(Settings{})
	for _, step := range []struct {
		why   string
		batch Batch
		want  []uint16
		named bool
	}{
		{"a Service without pods", Batch{Services: []*Service{service("web", ProtocolHTTP, ProtocolUnspecified)}}, nil, false},
		{"its endpoints", Batch{Slices: []*Slice{behind("web-x", 8080, 9090)}}, nil, false},
		{"their pods", Batch{Pods: []*Pod{pod("web-1", "10.0.0.1"), pod("web-2", "10.0.0.2")}}, []uint16{8080}, true},
		{"one pod less", Batch{Deleted: []Object{{ObjectPod, name("web-2")}}}, []uint16{8080}, false},
		{"one that is not ready is one", Batch{Slices: []*Slice{func() *Slice {
			s := behind("web-x", 8080, 9090)
			s.Endpoints[0].Ready = false
			return s
		}()}}, []uint16{8080}, false},
		{"another Service of the port", Batch{Services: []*Service{service("web2", ProtocolGRPC)}, Slices: []*Slice{behind("web2-x", 8080)}}, []uint16{8080}, false},
		{"the first one is of TCP now", Batch{Services: []*Service{service("web", ProtocolTCP, ProtocolUnspecified)}}, []uint16{8080}, false},
		{"the other one goes", Batch{Deleted: []Object{{ObjectService, name("web2")}}}, nil, true},
		{"a route", Batch{Routes: []*Route{httpRoute("r", "web")}}, []uint16{9090}, true},
		{"it is another Service's", Batch{Routes: []*Route{httpRoute("r", "web2")}}, nil, true},
		{"a consumer route closes nothing for others", Batch{Routes: []*Route{consumer}}, nil, false},
		{"the port is renamed", Batch{Services: []*Service{service("web", ProtocolHTTP, ProtocolHTTP)}}, []uint16{8080, 9090}, true},
		{"other target ports", Batch{Slices: []*Slice{behind("web-x", 9000, 8000)}}, []uint16{8000, 9000}, true},
		{"the server speaks first there", Batch{Settings: &Settings{ServerFirstPorts: []uint16{81}}}, []uint16{9000}, true},
		{"or not", Batch{Settings: &Settings{}}, []uint16{8000, 9000}, true},
		{"the pod is another workload's", Batch{Pods: []*Pod{moved}}, nil, true},
		{"and back", Batch{Pods: []*Pod{pod("web-1", "10.0.0.1")}}, []uint16{8000, 9000}, true},
		{"the slice goes", Batch{Deleted: []Object{{ObjectSlice, name("web-x")}}}, nil, true},
		{"a Service of another namespace closes nothing", Batch{
			Services: []*Service{func() *Service { s := service("web", ProtocolHTTP); s.Name = foreign("web"); return s }()},
			Slices:   []*Slice{func() *Slice { s := behind("web-x", 8080); s.Name, s.Service = foreign("x"), foreign("web"); return s }()},
		}, nil, false},
	} {
		tracker := Track(s)
		before := tracker.HTTPPorts(web)
		keys := s.Apply(step.batch)
		if got := s.HTTPPorts(web); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %v, want %v", step.why, got, step.want)
		}
		if named := slices.Contains(keys, tracker.Keys()[0]); named != step.named || named == slices.Equal(before, step.want) {
			t.Errorf("%s: named %v", step.why, keys)
		}
	}
}
