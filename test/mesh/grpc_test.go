package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead/fairlead/internal/lab"
)

// grpcRoute is a GRPCRoute of namespace shop with these rules on a Service.
func grpcRoute(name, service, rules string) string {
	return strings.Replace(route(name, service, rules), "kind: HTTPRoute", "kind: GRPCRoute", 1)
}

// A gRPC call through the mesh is as without it: all four kinds, metadata and
// trailers both ways, the app's status, messages of some megabytes, deadlines.
func TestGRPCCallsGoThroughAsTheyAre(t *testing.T) {
	s := newGRPCShop(t)
	s.Apply("ruled", join(service("ruled", "own"), grpcRoute("ruled", "ruled", "- backendRefs: [{name: v1, port: 80}]")))
	for _, c := range []struct{ service, app string }{{"own", "own"}, {"ruled", "v1"}} {
		t.Run(c.service, func(t *testing.T) {
			conn := dial(t, s.web, s.Service("shop", c.service).String()+":80")
			test := pb.NewTestServiceClient(conn)
			for _, kind := range []string{"unary", "empty", "benchmark", "server", "client", "bidi"} {
				a := invoke(s.Ctx, conn, kind, map[string]string{"color": "red"})
				if a.outcome() != c.app || strings.Join(a.header.Get("saw-color"), ",") != "red" {
					t.Errorf("%s: %s (%s), header %v", kind, a.outcome(), a.message, a.header)
				}
				if kind == "unary" && strings.Join(a.trailer.Get("done"), ",") != "yes" {
					t.Errorf("%s: trailer %v", kind, a.trailer)
				}
			}
			_, err := test.UnaryCall(s.Ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.FailedPrecondition), Message: "100% no"}})
			if a := answered(nil, nil, err); a.code != codes.FailedPrecondition || a.message != "100% no" {
				t.Errorf("the app's status: %s %q", a.code, a.message)
			}
			const size = 3 << 20
			r, err := test.UnaryCall(s.Ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, size)}})
			if err != nil || len(r.GetPayload().GetBody()) != size {
				t.Errorf("3 MiB both ways: %d bytes, %v", len(r.GetPayload().GetBody()), err)
			}
			ctx, cancel := context.WithTimeout(s.Ctx, 200*time.Millisecond)
			defer cancel()
			stream, err := test.FullDuplexCall(ctx)
			if err == nil {
				_, err = stream.Recv()
			}
			if a := answered(nil, nil, err); a.code != codes.DeadlineExceeded {
				t.Errorf("a deadline: %s %q", a.code, a.message)
			}
		})
	}
}

// grpcCase is a GRPCRoute on a Service of its own, and calls to it.
type grpcCase struct {
	name  string
	rules string
	calls []grpcCall
}

type grpcCall struct {
	kind   string // see invoke
	md     map[string]string
	want   string // the app that answered, or the status
	header metadata.MD
}

// Each kind of match of a GRPCRoute picks its calls, the most specific first; what
// fits none gets UNIMPLEMENTED, and a rule that cannot be served UNAVAILABLE.
func TestGRPCRoutes(t *testing.T) {
	s := newGRPCShop(t)
	cases := []grpcCase{
		{name: "service-and-method", rules: `
- matches: [{method: {service: grpc.testing.TestService, method: UnaryCall}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", want: "v1"},
			{kind: "empty", want: "Unimplemented"},
			{kind: "benchmark", want: "Unimplemented"},
		}},
		{name: "service", rules: `
- matches: [{method: {service: grpc.testing.TestService}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", want: "v2"},
			{kind: "empty", want: "v2"},
			{kind: "server", want: "v2"},
			{kind: "client", want: "v2"},
			{kind: "bidi", want: "v2"},
			{kind: "benchmark", want: "Unimplemented"},
		}},
		{name: "method", rules: `
- matches: [{method: {method: UnaryCall}}]
  backendRefs: [{name: v3, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", want: "v3"},
			{kind: "benchmark", want: "v3"},
			{kind: "empty", want: "Unimplemented"},
		}},
		{name: "regex", rules: `
- matches: [{method: {type: RegularExpression, service: "grpc\\..*\\.Test[A-Z][a-z]+", method: "(Unary|Empty)Call"}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: {type: RegularExpression, method: "Streaming.*"}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", want: "v1"},
			{kind: "empty", want: "v1"},
			{kind: "server", want: "v2"},
			{kind: "client", want: "v2"},
			{kind: "bidi", want: "Unimplemented"},
			{kind: "benchmark", want: "Unimplemented"},
		}},
		{name: "headers", rules: `
- matches: [{headers: [{name: Color, value: red}]}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{headers: [{name: color, type: RegularExpression, value: "b.*"}]}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", md: map[string]string{"color": "red"}, want: "v1"},
			{kind: "bidi", md: map[string]string{"color": "red"}, want: "v1"},
			{kind: "unary", md: map[string]string{"color": "blue"}, want: "v2"},
			{kind: "unary", md: map[string]string{"color": "dark-blue"}, want: "Unimplemented"},
			{kind: "unary", want: "Unimplemented"},
		}},
		{name: "precedence", rules: `
- backendRefs: [{name: own, port: 80}]
- matches: [{method: {service: grpc.testing.TestService}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: {service: grpc.testing.TestService, method: UnaryCall}}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{method: {service: grpc.testing.TestService, method: UnaryCall}, headers: [{name: color, value: red}]}]
  backendRefs: [{name: v3, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", md: map[string]string{"color": "red"}, want: "v3"},
			{kind: "unary", want: "v2"},
			{kind: "empty", want: "v1"},
			{kind: "benchmark", want: "own"},
		}},
		{name: "filters", rules: `
- filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: color, value: green}]}}
  - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: served, value: by-rule}]}}
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: {method: EmptyCall}}]
  filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}
  backendRefs:
  - name: v2
    port: 80
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: color, value: of-backend}]}}]
`, calls: []grpcCall{
			{kind: "unary", md: map[string]string{"color": "red"}, want: "v1", header: metadata.Pairs("saw-color", "green", "served", "by-rule")},
			{kind: "bidi", md: map[string]string{"color": "red"}, want: "v1", header: metadata.Pairs("saw-color", "green", "served", "by-rule")},
			{kind: "empty", md: map[string]string{"color": "red"}, want: "v2", header: metadata.Pairs("saw-color", "red", "saw-color", "of-backend")},
		}},
		{name: "broken", rules: `
- backendRefs: [{name: own, port: 80}]
- matches: [{method: {method: UnaryCall}}]
  backendRefs: [{name: gone, port: 80}]
- matches: [{method: {method: EmptyCall}}]
  filters: [{type: ExtensionRef, extensionRef: {group: example.org, kind: Auth, name: auth}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: {service: grpc.testing.TestService, method: FullDuplexCall}, headers: [{name: color, type: RegularExpression, value: "("}]}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []grpcCall{
			{kind: "unary", want: "Unavailable"},
			{kind: "empty", want: "Unavailable"},
			{kind: "bidi", want: "Unavailable"},
			{kind: "server", want: "own"},
		}},
	}
	var documents []string
	for _, c := range cases {
		documents = append(documents, service(c.name, "own"), grpcRoute(c.name, c.name, c.rules))
	}
	s.Apply("cases", join(documents...))
	calls := 0
	for _, c := range cases {
		address := s.Service("shop", c.name)
		t.Run(c.name, func(t *testing.T) {
			for i, call := range c.calls {
				conn := dial(t, s.web, address.String()+":80")
				a := invoke(s.Ctx, conn, call.kind, call.md)
				if a.outcome() != call.want {
					t.Errorf("call %d, %s %v: answered by %s (%s), want %s", i, call.kind, call.md, a.outcome(), a.message, call.want)
				}
				for name, want := range call.header {
					if got := a.header.Get(name); strings.Join(got, ",") != strings.Join(want, ",") {
						t.Errorf("call %d, %s %v: header %s: %v, want %v", i, call.kind, call.md, name, got, want)
					}
				}
			}
		})
		calls += len(c.calls)
	}
	t.Logf("%d routes, %d calls", len(cases), calls)
}

// Weights of a GRPCRoute share out the calls of one connection; the share of a
// backend that is missing gets UNAVAILABLE.
func TestGRPCWeights(t *testing.T) {
	s := newGRPCShop(t)
	s.Apply("weights", join(service("weighted", "own"), grpcRoute("weighted", "weighted", `
- backendRefs: [{name: v1, port: 80, weight: 6}, {name: v2, port: 80, weight: 2}, {name: v3, port: 80, weight: 0}, {name: gone, port: 80, weight: 2}]
`)))
	conn := dial(t, s.web, s.Service("shop", "weighted").String()+":80")
	const n = 400
	counts := map[string]int{}
	for i := range n {
		kind := "unary"
		if i%4 == 3 {
			kind = "bidi"
		}
		// The first call of all is unary: one whose messages are still to come would
		// not wait for the rules.
		counts[invoke(s.Ctx, conn, kind, nil).outcome()]++
	}
	t.Log(counts)
	for outcome, percent := range map[string]int{"v1": 60, "v2": 20, "Unavailable": 20} {
		if off := counts[outcome] - n*percent/100; off*off > 25*n*percent*(100-percent)/10_000 {
			t.Errorf("%d of %d by %s, want about %d%%", counts[outcome], n, outcome, percent)
		}
	}
	if len(counts) != 3 {
		t.Errorf("others got calls as well: %v", counts)
	}
}

// Where a GRPCRoute and an HTTPRoute name the same port, the GRPCRoute holds and the
// HTTPRoute does not (GEP-1294), until the GRPCRoute is gone.
func TestGRPCRouteGoesBeforeHTTPRoute(t *testing.T) {
	s := newShopOf(t, func(s *shop, app string, port int) {
		if app == "v1" {
			s.grpcApp(s.pod, app, port)
		} else {
			s.apps[app] = s.pod.Serve(port, echo(app))
		}
	})
	s.Apply("both", join(service("both", "own"), route("http", "both", "- backendRefs: [{name: v2, port: 80}]")))
	s.Apply("grpc", grpcRoute("grpc", "both", "- backendRefs: [{name: v1, port: 80}]"))
	address := s.Service("shop", "both").String()
	s.Eventually("the GRPCRoute", func() error {
		a := invoke(s.Ctx, dial(t, s.web, address+":80"), "unary", nil)
		if a.outcome() != "v1" {
			return fmt.Errorf("answered by %s (%s)", a.outcome(), a.message)
		}
		return nil
	})
	if err := answeredBy(s.web, address, "404"); err != nil {
		t.Errorf("a plain request while the GRPCRoute is there: %v", err)
	}
	s.Delete("grpc")
	s.Eventually("the HTTPRoute", func() error { return answeredBy(s.web, address, "v2") })
}

// With the app gone on one of two endpoints every gRPC call is answered: unary ones
// and streams, with rules and without.
func TestRetryHidesUnreachableEndpointFromGRPC(t *testing.T) {
	s := newShop(t)
	two := func(name string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec:
  selector: {pair: "yes"}
  ports: [{name: grpc, port: 80, targetPort: 9000}]
`, name)
	}
	s.Apply("pair", join(two("pair"), two("ruled"), grpcRoute("ruled", "ruled", "- backendRefs: [{name: ruled, port: 80}]")))
	for _, name := range []string{"living", "gone"} {
		pod := s.Pod(lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: name, Meshed: true, Labels: map[string]string{"pair": "yes"}})
		if name == "living" {
			s.grpcApp(pod, name, 9000)
		}
	}
	for _, service := range []string{"pair", "ruled"} {
		t.Run(service, func(t *testing.T) {
			conn := dial(t, s.web, s.Service("shop", service).String()+":80")
			for i := range 30 {
				kind := []string{"unary", "server", "client", "bidi"}[i%4]
				if a := invoke(s.Ctx, conn, kind, nil); a.outcome() != "living" {
					t.Errorf("call %d, %s: %s (%s)", i, kind, a.outcome(), a.message)
				}
			}
		})
	}
}
