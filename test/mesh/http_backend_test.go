package mesh_test

import (
	"testing"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// Weights share out the requests of a rule. A weight of 0 gets none; the share of a
// backend that cannot be used gets a 500, and so does everything if nothing can.
func TestWeights(t *testing.T) {
	s := newShop(t)
	const n = 400
	cases := []struct {
		name, rules string
		want        map[string]int // percent
	}{
		{"even", `
- backendRefs: [{name: v1, port: 80}, {name: v2, port: 80}]
`, map[string]int{"v1": 50, "v2": 50}},
		{"ninety-ten", `
- backendRefs: [{name: v1, port: 80, weight: 90}, {name: v2, port: 80, weight: 10}]
`, map[string]int{"v1": 90, "v2": 10}},
		{"zero", `
- backendRefs: [{name: v1, port: 80, weight: 0}, {name: v2, port: 80, weight: 1}]
`, map[string]int{"v2": 100}},
		{"all-zero", `
- backendRefs: [{name: v1, port: 80, weight: 0}, {name: v2, port: 80, weight: 0}]
`, map[string]int{"500": 100}},
		{"one-is-missing", `
- backendRefs: [{name: v1, port: 80, weight: 2}, {name: gone, port: 80, weight: 1}, {name: v2, port: 80, weight: 1}]
`, map[string]int{"v1": 50, "500": 25, "v2": 25}},
		{"one-lacks-the-port", `
- backendRefs: [{name: v1, port: 80, weight: 3}, {name: v2, port: 81, weight: 1}]
`, map[string]int{"v1": 75, "500": 25}},
		{"missing-with-weight-zero", `
- backendRefs: [{name: v1, port: 80, weight: 1}, {name: gone, port: 80, weight: 0}]
`, map[string]int{"v1": 100}},
		{"only-missing", `
- backendRefs: [{name: gone, port: 80}]
`, map[string]int{"500": 100}},
		{"of-another-kind", `
- backendRefs: [{group: example.org, kind: Bucket, name: v1, port: 80}]
`, map[string]int{"500": 100}},
		{"no-backends", `
- matches: [{path: {type: PathPrefix, value: /}}]
`, map[string]int{"500": 100}},
		// Filters that only a route can hold do not change the shares.
		{"with-filters-of-their-own", `
- backendRefs:
  - name: v1
    port: 80
    weight: 5
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /v1}}}]
  - name: v2
    port: 80
    weight: 3
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}]}}]
  - {name: gone, port: 80, weight: 2}
`, map[string]int{"v1": 50, "v2": 30, "500": 20}},
		// To a backend in another namespace, without anybody's leave (GEP-1294).
		{"other-namespace", `
- backendRefs: [{name: far, namespace: depot, port: 8000}]
`, map[string]int{"far": 100}},
	}
	documents := []string{`apiVersion: v1
kind: Service
metadata: {name: far, namespace: depot}
spec:
  selector: {app: far}
  ports: [{port: 8000}]
`}
	for _, c := range cases {
		documents = append(documents, service(c.name, "own"), route(c.name, c.name, c.rules))
	}
	s.Apply("weights", join(documents...))
	s.Pod(podSpec("depot", "far")).Serve(8000, meshtest.EchoHandler("far"))
	for _, c := range cases {
		address := s.Service("shop", c.name).String()
		t.Run(c.name, func(t *testing.T) {
			counts := s.outcomes(t, address, n)
			for outcome, got := range counts {
				if c.want[outcome] == 0 {
					t.Errorf("%d of %d by %s, want none", got, n, outcome)
				}
			}
			for outcome, percent := range c.want {
				want := n * percent / 100
				// Five standard deviations of a binomial distribution.
				if off := counts[outcome] - want; off*off > 25*n*percent*(100-percent)/10_000 {
					t.Errorf("%d of %d by %s, want about %d", counts[outcome], n, outcome, want)
				}
			}
			t.Log(counts)
		})
	}
}

// outcomes sends n requests and counts who answered.
func (s *shop) outcomes(t *testing.T, url string, n int) map[string]int {
	t.Helper()
	c := s.web.Client()
	defer c.CloseIdleConnections()
	counts := map[string]int{}
	for range n {
		r, err := meshtest.Do(s.Ctx, c, url, meshtest.Request{})
		if err != nil {
			t.Fatal(err)
		}
		counts[outcome(r)]++
	}
	return counts
}

// A rule that cannot be understood, or asks for something that the mesh cannot do,
// answers with a 500 whatever it may have meant. Its requests never fall through
// to a wider rule, nor to the Service itself; other rules are not affected.
func TestBrokenRulesFailAndNeverFallThrough(t *testing.T) {
	s := newShop(t)
	wider := `
- matches: [{path: {type: PathPrefix, value: /}}]
  backendRefs: [{name: v1, port: 80}]
`
	s.run(t, []routeCase{
		{name: "regex", rules: wider + `
- matches: [{path: {type: RegularExpression, value: "/items/[0-9"}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			// Nobody knows which paths are meant, so all are.
			{send: "GET /items/1", want: "500"},
			{send: "GET /", want: "500"},
		}},
		{name: "header-regex", rules: wider + `
- matches: [{path: {type: PathPrefix, value: /items}, headers: [{name: x-a, type: RegularExpression, value: "("}]}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /items/1", want: "500"},
			{send: "GET /items/1", header: map[string]string{"x-a": "("}, want: "500"},
			{send: "GET /other", want: "v1"},
		}},
		{name: "filter-unsupported", rules: wider + `
- matches: [{path: {type: PathPrefix, value: /items}}]
  filters: [{type: ExtensionRef, extensionRef: {group: example.org, kind: Auth, name: auth}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /items/1", want: "500"},
			{send: "GET /other", want: "v1"},
		}},
		{name: "filter-unsupported-in-backend", rules: wider + `
- matches: [{path: {type: PathPrefix, value: /items}}]
  backendRefs:
  - name: v2
    port: 80
    filters: [{type: ExtensionRef, extensionRef: {group: example.org, kind: Auth, name: auth}}]
`, calls: []call{
			{send: "GET /items/1", want: "500"},
			{send: "GET /other", want: "v1"},
		}},
		{name: "filters-exclude-each-other", rules: wider + `
- matches: [{path: {type: PathPrefix, value: /items}}]
  filters:
  - {type: RequestRedirect, requestRedirect: {hostname: example.org}}
  - {type: URLRewrite, urlRewrite: {hostname: example.org}}
`, calls: []call{
			{send: "GET /items/1", want: "500"},
			{send: "GET /other", want: "v1"},
		}},
		{name: "header-of-the-mesh", rules: wider + `
- matches: [{path: {type: PathPrefix, value: /items}}]
  filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Fairlead-Destination, value: "10.96.0.1:80"}]}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /items/1", want: "500"},
			{send: "GET /other", want: "v1"},
		}},
		{name: "timeout", rules: wider + `
- matches: [{path: {type: PathPrefix, value: /items}}]
  timeouts: {request: 1s, backendRequest: 2s}
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /items/1", want: "500"},
			{send: "GET /other", want: "v1"},
		}},
	})
	for _, app := range []string{"own", "v2", "v3"} {
		if n := s.apps[app].Requests.Load(); n != 0 {
			t.Errorf("app %s got %d requests", app, n)
		}
	}
}
