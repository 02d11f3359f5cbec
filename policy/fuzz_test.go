package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

// FuzzForService makes routes of the input, valid ones and others, and checks what
// must hold of any: no panic, the same answer each time, every match of a route in
// force there exactly once, the order of precedence, no weight lost, and verdicts
// that agree with what is served.
func FuzzForService(f *testing.F) {
	for i := range 64 {
		seed := make([]byte, 512)
		for j := range seed {
			seed[j] = byte((i*31 + j*j*7 + j/3) % 251)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &generator{data: data}
		store := g.store()
		for _, client := range []string{"shop", "client", "elsewhere"} {
			for _, port := range []uint16{80, 81} {
				out := policy.ForService(store, client, webName, port)
				if again := policy.ForService(store, client, webName, port); !cmp.Equal(out, again) {
					t.Fatalf("the same question has two answers:\n%s", cmp.Diff(out, again))
				}
				if policy.HasRules(store, client, webName, port) != (len(out.Rules) > 0) {
					t.Errorf("HasRules disagrees with ForService for %s", client)
				}
				checkOutbound(t, store, &out)
			}
		}
		checkConsistent(t, store)
		for _, finding := range policy.Lint(store) {
			if finding.Code == "" || finding.Message == "" || finding.Severity == "" {
				t.Errorf("incomplete finding: %+v", finding)
			}
		}
	})
}

// checkOutbound checks the invariants of one answer.
func checkOutbound(t *testing.T, store *mesh.Store, out *policy.Outbound) {
	t.Helper()
	seen := map[policy.RuleSource]bool{}
	var before *policy.Rule
	for i := range out.Rules {
		r := &out.Rules[i]
		if seen[r.From] {
			t.Errorf("%+v occurs twice", r.From)
		}
		seen[r.From] = true
		checkRule(t, store, r)
		if r.Invalid != "" {
			continue // its match may have been widened, and its place is that of the narrow one
		}
		if before != nil && precedes(r, before) {
			t.Errorf("%+v stands before %+v", before.Match, r.Match)
		}
		before = r
	}
}

func checkRule(t *testing.T, store *mesh.Store, r *policy.Rule) {
	t.Helper()
	if r.Invalid != "" {
		if r.Redirect != nil || len(r.Backends) > 0 || r.InvalidWeight > 0 || r.Retry != nil {
			t.Errorf("an invalid rule does something: %+v", r)
		}
		return
	}
	if r.Redirect != nil && (len(r.Backends) > 0 || r.Redirect.Port == 0) {
		t.Errorf("a redirect with backends or without a port: %+v", r)
	}
	sum := r.InvalidWeight
	for _, b := range r.Backends {
		sum += b.Weight
		if s := store.Service(b.Service); b.Weight == 0 || s == nil || s.Port(b.Port) == nil {
			t.Errorf("backend %+v has no weight or no port", b)
		}
	}
	if want := weightsOf(store, r.From); sum != want {
		t.Errorf("%+v: weights sum up to %d, want %d", r.From, sum, want)
	}
}

// weightsOf sums up the weights that a rule has in its route.
func weightsOf(store *mesh.Store, from policy.RuleSource) (sum uint32) {
	add := func(weight *int32) {
		if weight == nil {
			sum++
		} else {
			sum += uint32(*weight)
		}
	}
	for _, r := range store.AllRoutes() {
		switch {
		case r.Name() != from.Route || r.Kind() != from.Kind:
		case r.HTTP != nil && from.Rule < len(r.HTTP.Spec.Rules):
			for _, b := range r.HTTP.Spec.Rules[from.Rule].BackendRefs {
				add(b.Weight)
			}
		case r.GRPC != nil && from.Rule < len(r.GRPC.Spec.Rules):
			for _, b := range r.GRPC.Spec.Rules[from.Rule].BackendRefs {
				add(b.Weight)
			}
		}
	}
	return sum
}

// precedes is a second reading of HTTPRouteRule.matches, from the result alone:
// does a have to stand before b? Only what the API leaves no doubt about.
func precedes(a, b *policy.Rule) bool {
	if a.Match.GRPC || b.Match.GRPC || a.Match.Path.Kind == policy.Regex || b.Match.Path.Kind == policy.Regex {
		return false
	}
	less := func(x, y int) int { return y - x }
	exact := func(r *policy.Rule) int {
		if r.Match.Path.Kind == policy.Exact {
			return 1
		}
		return 0
	}
	method := func(r *policy.Rule) int { return min(len(r.Match.Method), 1) }
	if c := less(exact(a), exact(b)); c != 0 {
		return c < 0
	}
	for _, c := range []int{
		less(len(a.Match.Path.Value), len(b.Match.Path.Value)),
		less(method(a), method(b)),
		less(len(a.Match.Headers), len(b.Match.Headers)),
		less(len(a.Match.Query), len(b.Match.Query)),
	} {
		if c != 0 {
			return c < 0
		}
	}
	if a.From.Route != b.From.Route {
		return false // the age of a route is not in the result
	}
	if a.From.Rule != b.From.Rule {
		return a.From.Rule < b.From.Rule
	}
	return a.From.Match < b.From.Match
}

var webName = mesh.Name{Namespace: "shop", Name: "web"}

// generator makes objects of a stream of bytes; when it ends, of zeros.
type generator struct {
	data []byte
	next int
}

func (g *generator) n(below int) int {
	if g.next >= len(g.data) {
		return 0
	}
	b := g.data[g.next]
	g.next++
	return int(b) % below
}

func (g *generator) bool() bool { return g.n(2) == 1 }

func pick[T any](g *generator, choices ...T) T { return choices[g.n(len(choices))] }

// maybe returns nil or a pointer to one of the choices.
func maybe[T any](g *generator, choices ...T) *T {
	if g.bool() {
		return nil
	}
	v := pick(g, choices...)
	return &v
}

func (g *generator) store() *mesh.Store {
	service := func(name string, ports ...mesh.Port) *mesh.Service {
		return &mesh.Service{Name: mesh.Name{Namespace: "shop", Name: name}, Ports: ports}
	}
	batch := mesh.Batch{Services: []*mesh.Service{
		service("web", mesh.Port{Name: "a", Number: 80}, mesh.Port{Name: "b", Number: 81}),
		service("v1", mesh.Port{Number: 80}),
		service("v2", mesh.Port{Number: 80, Protocol: mesh.ProtocolTLS}),
	}}
	for i := range g.n(5) {
		batch.Routes = append(batch.Routes, g.route(i))
	}
	store := mesh.NewStore(mesh.Settings{})
	store.Apply(batch)
	return store
}

func (g *generator) route(i int) *mesh.Route {
	meta := metav1.ObjectMeta{
		Namespace: pick(g, "shop", "client"), Name: fmt.Sprintf("r%d", i),
		CreationTimestamp: metav1.NewTime(time.Unix(int64(g.n(3)), 0)),
	}
	ref := gatewayv1.ParentReference{
		Group: new(gatewayv1.Group), Kind: ptr(gatewayv1.Kind("Service")), Namespace: ptr(gatewayv1.Namespace("shop")), Name: "web",
		Port: maybe[int32](g, 80, 81, 90), SectionName: maybe[gatewayv1.SectionName](g, "a", "b", ""),
	}
	common := gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{ref}}
	if g.n(3) == 0 {
		r := &gatewayv1.GRPCRoute{ObjectMeta: meta, Spec: gatewayv1.GRPCRouteSpec{CommonRouteSpec: common}}
		for range g.n(4) {
			r.Spec.Rules = append(r.Spec.Rules, g.grpcRule())
		}
		return &mesh.Route{GRPC: r}
	}
	r := &gatewayv1.HTTPRoute{ObjectMeta: meta, Spec: gatewayv1.HTTPRouteSpec{CommonRouteSpec: common}}
	for range g.n(4) {
		r.Spec.Rules = append(r.Spec.Rules, g.httpRule())
	}
	return &mesh.Route{HTTP: r}
}

func (g *generator) httpRule() gatewayv1.HTTPRouteRule {
	var rule gatewayv1.HTTPRouteRule
	for range g.n(4) {
		var m gatewayv1.HTTPRouteMatch
		if g.bool() {
			m.Path = &gatewayv1.HTTPPathMatch{
				Type:  maybe[gatewayv1.PathMatchType](g, "Exact", "PathPrefix", "RegularExpression", "Odd"),
				Value: maybe(g, "/", "/a", "/a/", "/a/b", "/.*", "(", "a", ""),
			}
		}
		m.Method = maybe[gatewayv1.HTTPMethod](g, "GET", "POST", "odd")
		for range g.n(3) {
			m.Headers = append(m.Headers, gatewayv1.HTTPHeaderMatch{
				Type: maybe[gatewayv1.HeaderMatchType](g, "Exact", "RegularExpression", "Odd"),
				Name: pick[gatewayv1.HTTPHeaderName](g, "a", "A", "b", ":c"), Value: pick(g, "1", ".*", "[", ""),
			})
		}
		for range g.n(3) {
			m.QueryParams = append(m.QueryParams, gatewayv1.HTTPQueryParamMatch{
				Type: maybe[gatewayv1.QueryParamMatchType](g, "Exact", "RegularExpression", "Odd"),
				Name: pick[gatewayv1.HTTPHeaderName](g, "a", "A", ""), Value: pick(g, "1", "2", "("),
			})
		}
		rule.Matches = append(rule.Matches, m)
	}
	rule.Filters = g.filters()
	for range g.n(4) {
		rule.BackendRefs = append(rule.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: g.backend(), Filters: g.filters()})
	}
	if g.bool() {
		rule.Timeouts = &gatewayv1.HTTPRouteTimeouts{
			Request:        maybe[gatewayv1.Duration](g, "1s", "0s", "odd", ""),
			BackendRequest: maybe[gatewayv1.Duration](g, "1ms", "2s", "0s", "-1s"),
		}
	}
	if g.bool() {
		rule.Retry = &gatewayv1.HTTPRouteRetry{
			Attempts: maybe(g, 0, 2, -1), Backoff: maybe[gatewayv1.Duration](g, "1s", "odd"),
			Codes: pick(g, nil, []gatewayv1.HTTPRouteRetryStatusCode{503, 500}, []gatewayv1.HTTPRouteRetryStatusCode{99}),
		}
	}
	return rule
}

func (g *generator) grpcRule() gatewayv1.GRPCRouteRule {
	var rule gatewayv1.GRPCRouteRule
	for range g.n(4) {
		var m gatewayv1.GRPCRouteMatch
		if g.bool() {
			m.Method = &gatewayv1.GRPCMethodMatch{
				Type:    maybe[gatewayv1.GRPCMethodMatchType](g, "Exact", "RegularExpression", "Odd"),
				Service: maybe(g, "a.B", "c", "", "("), Method: maybe(g, "Get", "", "|", "a/b"),
			}
		}
		rule.Matches = append(rule.Matches, m)
	}
	for range g.n(3) {
		rule.BackendRefs = append(rule.BackendRefs, gatewayv1.GRPCBackendRef{BackendRef: g.backend()})
	}
	return rule
}

func (g *generator) backend() gatewayv1.BackendRef {
	return gatewayv1.BackendRef{
		BackendObjectReference: g.reference(),
		Weight:                 maybe[int32](g, 0, 1, 5, 1_000_000, -1),
	}
}

func (g *generator) reference() gatewayv1.BackendObjectReference {
	return gatewayv1.BackendObjectReference{
		Group: maybe[gatewayv1.Group](g, "", "odd"), Kind: maybe[gatewayv1.Kind](g, "Service", "Odd", ""),
		Namespace: maybe[gatewayv1.Namespace](g, "shop", "client"), Name: pick[gatewayv1.ObjectName](g, "v1", "v2", "v3"),
		Port: maybe[int32](g, 80, 81, 0, 70000),
	}
}

func (g *generator) filters() []gatewayv1.HTTPRouteFilter {
	var filters []gatewayv1.HTTPRouteFilter
	for range g.n(3) {
		f := gatewayv1.HTTPRouteFilter{Type: pick[gatewayv1.HTTPRouteFilterType](g,
			"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "CORS", "ExtensionRef", "ExternalAuth", "")}
		switch f.Type {
		case "RequestHeaderModifier":
			f.RequestHeaderModifier = g.headers()
		case "ResponseHeaderModifier":
			f.ResponseHeaderModifier = g.headers()
		case "RequestMirror":
			f.RequestMirror = &gatewayv1.HTTPRequestMirrorFilter{BackendRef: g.reference(), Percent: maybe[int32](g, 0, 10, 101)}
			if g.bool() {
				f.RequestMirror.Fraction = &gatewayv1.Fraction{Numerator: pick[int32](g, 0, 1, 200, -1), Denominator: maybe[int32](g, 3, 0)}
			}
		case "RequestRedirect":
			f.RequestRedirect = &gatewayv1.HTTPRequestRedirectFilter{
				Scheme: maybe(g, "http", "https", "odd"), Hostname: maybe[gatewayv1.PreciseHostname](g, "a.b", "A", ""),
				Path: g.pathModifier(), Port: maybe[int32](g, 80, 0), StatusCode: maybe(g, 301, 200),
			}
		case "URLRewrite":
			f.URLRewrite = &gatewayv1.HTTPURLRewriteFilter{Hostname: maybe[gatewayv1.PreciseHostname](g, "a.b", "*"), Path: g.pathModifier()}
		case "CORS":
			f.CORS = &gatewayv1.HTTPCORSFilter{AllowOrigins: pick(g, nil, []gatewayv1.CORSOrigin{"*"}, []gatewayv1.CORSOrigin{"*", "http://a"})}
		}
		filters = append(filters, f)
	}
	return filters
}

func (g *generator) headers() *gatewayv1.HTTPHeaderFilter {
	if g.n(5) == 0 {
		return nil
	}
	list := func() (hs []gatewayv1.HTTPHeader) {
		for range g.n(3) {
			hs = append(hs, gatewayv1.HTTPHeader{Name: pick[gatewayv1.HTTPHeaderName](g, "a", "A", "b", "host", ":x"), Value: pick(g, "1", "", "\n")})
		}
		return hs
	}
	return &gatewayv1.HTTPHeaderFilter{Set: list(), Add: list(), Remove: pick(g, nil, []string{"a", "c", "c"}, []string{""})}
}

func (g *generator) pathModifier() *gatewayv1.HTTPPathModifier {
	if g.bool() {
		return nil
	}
	return &gatewayv1.HTTPPathModifier{
		Type:            pick[gatewayv1.HTTPPathModifierType](g, "ReplaceFullPath", "ReplacePrefixMatch", "Odd"),
		ReplaceFullPath: maybe(g, "/", "", "a"), ReplacePrefixMatch: maybe(g, "/", "", "a"),
	}
}

func ptr[T any](v T) *T { return &v }
