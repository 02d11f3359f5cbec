package mesh_test

import (
	"testing"
)

// Each kind of match picks the requests that the Gateway API says, and no other;
// what fits no rule gets a 404 and never reaches an app.
func TestMatchesPickTheirRequests(t *testing.T) {
	s := newShop(t)
	s.run(t, []routeCase{
		{name: "path-exact", rules: `
- matches: [{path: {type: Exact, value: /items}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /items", want: "v1"},
			{send: "GET /items?x=1", want: "v1", app: []string{"path: /items?x=1"}},
			{send: "GET /items/", want: "404"},
			{send: "GET /items/1", want: "404"},
			{send: "GET /Items", want: "404"},
			{send: "GET /item", want: "404"},
		}},
		{name: "path-prefix", rules: `
- matches: [{path: {type: PathPrefix, value: /a/b}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /slash/}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /a/b", want: "v1"},
			{send: "GET /a/b/", want: "v1"},
			{send: "GET /a/b/c?x=1", want: "v1", app: []string{"path: /a/b/c?x=1"}},
			{send: "GET /a/b?x=1", want: "v1"},
			{send: "GET /a/bc", want: "404"},
			{send: "GET /a", want: "404"},
			{send: "GET /x/a/b", want: "404"},
			{send: "GET /slash", want: "v2"},
			{send: "GET /slash/1", want: "v2"},
			{send: "GET /slashes", want: "404"},
		}},
		{name: "path-regex", rules: `
- matches: [{path: {type: RegularExpression, value: "/items/[0-9]+"}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /items/12", want: "v1"},
			{send: "GET /items/12?x=a", want: "v1"},
			{send: "GET /items/12/x", want: "404"},
			{send: "GET /x/items/12", want: "404"},
			{send: "GET /items/x", want: "404"},
		}},
		{name: "header-exact", rules: `
- matches: [{headers: [{name: X-Version, value: two}]}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{headers: [{name: x-a, value: "1"}, {name: x-b, value: "2"}]}]
  backendRefs: [{name: v3, port: 80}]
- matches: [{headers: [{name: Host, value: shop.example}]}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /", header: map[string]string{"x-version": "two"}, want: "v2"},
			{send: "GET /", header: map[string]string{"X-VERSION": "two"}, want: "v2"},
			{send: "GET /", header: map[string]string{"x-version": "Two"}, want: "404"},
			{send: "GET /", header: map[string]string{"x-version": "two-and"}, want: "404"},
			{send: "GET /", header: map[string]string{"x-a": "1", "x-b": "2"}, want: "v3"},
			{send: "GET /", header: map[string]string{"x-a": "1"}, want: "404"},
			{send: "GET /", host: "shop.example", want: "v1", app: []string{"host: shop.example"}},
			{send: "GET /", want: "404"},
		}},
		{name: "header-regex", rules: `
- matches: [{headers: [{name: x-version, type: RegularExpression, value: "v[0-9]+"}]}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /", header: map[string]string{"x-version": "v12"}, want: "v1"},
			{send: "GET /", header: map[string]string{"x-version": "v12-rc"}, want: "404"},
			{send: "GET /", header: map[string]string{"x-version": "av1"}, want: "404"},
		}},
		{name: "query-exact", rules: `
- matches: [{queryParams: [{name: animal, value: whale}]}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /?animal=whale", want: "v1"},
			{send: "GET /x?a=b&animal=whale&c=d", want: "v1"},
			{send: "GET /?animal=whales", want: "404"},
			{send: "GET /?ANIMAL=whale", want: "404"},
			{send: "GET /?animal=dolphin&color=blue", want: "v2"},
			{send: "GET /?color=blue&animal=dolphin", want: "v2"},
			{send: "GET /?animal=dolphin", want: "404"},
			{send: "GET /", want: "404"},
		}},
		{name: "query-regex", rules: `
- matches: [{queryParams: [{name: animal, type: RegularExpression, value: "(blue|grey)-whale"}]}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /?animal=blue-whale", want: "v1"},
			{send: "GET /?animal=a-blue-whale", want: "404"},
			{send: "GET /?animal=whale", want: "404"},
		}},
		{name: "method", rules: `
- matches: [{method: POST}, {method: DELETE}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: PATCH}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "POST /", body: "hello", want: "v1", app: []string{"method: POST", "body: 5"}},
			{send: "DELETE /", want: "v1"},
			{send: "PATCH /", body: "x", want: "v2"},
			{send: "GET /", want: "404"},
			{send: "PUT /", body: "x", want: "404"},
		}},
		{name: "all-parts-of-a-match", rules: `
- matches:
  - path: {type: PathPrefix, value: /a}
    method: PUT
    headers: [{name: x-a, value: "1"}]
    queryParams: [{name: q, value: "2"}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "PUT /a/b?q=2", header: map[string]string{"x-a": "1"}, body: "x", want: "v1"},
			{send: "POST /a/b?q=2", header: map[string]string{"x-a": "1"}, body: "x", want: "404"},
			{send: "PUT /b?q=2", header: map[string]string{"x-a": "1"}, body: "x", want: "404"},
			{send: "PUT /a?q=3", header: map[string]string{"x-a": "1"}, body: "x", want: "404"},
			{send: "PUT /a?q=2", body: "x", want: "404"},
		}},
		{name: "no-match-is-every-request", rules: `
- backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /", want: "v1"},
			{send: "POST /any?x=1", body: "x", want: "v1"},
		}},
	})
}

// Of several matches that fit, the one that the Gateway API puts first decides,
// wherever it stands: the path (exact, then regular expression, then the longer
// prefix), the method, the number of headers, the number of query parameters; the
// order in the route decides among equals.
func TestTheMostSpecificMatchDecides(t *testing.T) {
	s := newShop(t)
	s.run(t, []routeCase{
		{name: "path", rules: `
- matches: [{path: {type: PathPrefix, value: /}}]
  backendRefs: [{name: own, port: 80}]
- matches: [{path: {type: PathPrefix, value: /items}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: RegularExpression, value: "/items/.*"}}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{path: {type: Exact, value: /items/1}}]
  backendRefs: [{name: v3, port: 80}]
`, calls: []call{
			{send: "GET /items/1", want: "v3"},
			{send: "GET /items/2", want: "v2"},
			{send: "GET /items", want: "v1"},
			{send: "GET /", want: "own"},
		}},
		{name: "prefix-length", rules: `
- matches: [{path: {type: PathPrefix, value: /a}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a/b/c}}]
  backendRefs: [{name: v3, port: 80}]
- matches: [{path: {type: PathPrefix, value: /a/b}}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /a/b/c/d", want: "v3"},
			{send: "GET /a/b/d", want: "v2"},
			{send: "GET /a/d", want: "v1"},
		}},
		{name: "method-then-headers-then-query", rules: `
- matches: [{queryParams: [{name: a, value: "1"}, {name: b, value: "1"}]}]
  backendRefs: [{name: own, port: 80}]
- matches: [{headers: [{name: x-a, value: "1"}]}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{headers: [{name: x-a, value: "1"}, {name: x-b, value: "1"}]}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{method: PUT}]
  backendRefs: [{name: v3, port: 80}]
`, calls: []call{
			{send: "PUT /?a=1&b=1", header: map[string]string{"x-a": "1", "x-b": "1"}, body: "x", want: "v3"},
			{send: "GET /?a=1&b=1", header: map[string]string{"x-a": "1", "x-b": "1"}, want: "v2"},
			{send: "GET /?a=1&b=1", header: map[string]string{"x-a": "1"}, want: "v1"},
			{send: "GET /?a=1&b=1", want: "own"},
			{send: "GET /?a=1", want: "404"},
		}},
		{name: "first-among-equals", rules: `
- matches: [{headers: [{name: x-a, value: "1"}]}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{headers: [{name: x-b, value: "1"}]}]
  backendRefs: [{name: v2, port: 80}]
`, calls: []call{
			{send: "GET /", header: map[string]string{"x-a": "1", "x-b": "1"}, want: "v1"},
			{send: "GET /", header: map[string]string{"x-b": "1"}, want: "v2"},
		}},
	})

	// Two routes of one Service are one list of rules; the older route goes first
	// among equals, whatever its name.
	t.Run("two-routes", func(t *testing.T) {
		dated := func(name, created, rules string) string {
			return dateOf(route(name, "two-routes", rules), created)
		}
		s.Apply("two-routes", join(service("two-routes", "own"),
			dated("a-younger", "2026-02-02T00:00:00Z", `
- matches: [{path: {type: PathPrefix, value: /}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /items/new}}]
  backendRefs: [{name: v3, port: 80}]
`),
			dated("b-older", "2026-01-01T00:00:00Z", `
- matches: [{path: {type: PathPrefix, value: /}}, {path: {type: PathPrefix, value: /items}}]
  backendRefs: [{name: v2, port: 80}]
`)))
		address := s.Service("shop", "two-routes")
		s.call(t, address, call{send: "GET /", want: "v2"})
		s.call(t, address, call{send: "GET /items", want: "v2"})
		s.call(t, address, call{send: "GET /items/new/1", want: "v3"})
	})
}
