package mesh_test

import (
	"testing"
)

// The header modifiers change what the app sees of a request and what the caller
// gets of an answer, and nothing else. A value is taken literally, whatever it
// would mean to Envoy.
func TestHeaderModifiers(t *testing.T) {
	s := newShop(t)
	s.run(t, []routeCase{
		{name: "request", rules: `
- filters:
  - type: RequestHeaderModifier
    requestHeaderModifier:
      set: [{name: X-Set, value: new}, {name: x-set-absent, value: "100% %REQ(host)%"}]
      add: [{name: X-Add, value: more}, {name: x-add-absent, value: one}]
      remove: [X-Remove]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{
				send:   "GET /",
				header: map[string]string{"x-set": "old", "x-add": "some", "x-remove": "gone", "x-kept": "kept"},
				want:   "v1",
				app: []string{
					"x-set: new", "x-set-absent: 100% %REQ(host)%", "x-add: some, more", "x-add-absent: one",
					"x-remove:", "x-kept: kept",
				},
				got: []string{"x-set:", "x-add:"},
			},
			{send: "GET /", header: map[string]string{"X-REMOVE": "a"}, want: "v1", app: []string{"x-remove:", "x-set: new"}},
		}},
		{name: "request-host", rules: `
- filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: inside.example}]}}
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{{send: "GET /", host: "outside.example", want: "v1", app: []string{"host: inside.example"}}}},
		{name: "response", rules: `
- filters:
  - type: ResponseHeaderModifier
    responseHeaderModifier:
      set: [{name: X-App, value: "50%"}, {name: x-set-absent, value: new}]
      add: [{name: x-app-list, value: three}]
      remove: [X-App-Secret]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{{
			send: "GET /", want: "v1",
			got: []string{"x-app: 50%", "x-set-absent: new", "x-app-list: one, two, three", "x-app-secret:"},
			app: []string{"x-app:", "x-set-absent:"},
		}}},
		{name: "backend", rules: `
- matches: [{path: {type: PathPrefix, value: /one}}]
  backendRefs:
  - name: v1
    port: 80
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-backend, value: v1}], remove: [x-remove]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-served, value: v1}]}}
- matches: [{path: {type: PathPrefix, value: /both}}]
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier:
      set: [{name: x-who, value: rule}, {name: x-rule, value: "1"}]
      add: [{name: x-all, value: rule}, {name: x-not, value: rule}]
  - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-app, value: rule}], remove: [x-app-secret]}}
  backendRefs:
  - name: v2
    port: 80
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set: [{name: x-who, value: backend}]
        add: [{name: x-all, value: backend}]
        remove: [x-not]
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-app, value: backend}]}}
`, calls: []call{
			{
				send: "GET /one", header: map[string]string{"x-remove": "1"}, want: "v1",
				app: []string{"x-backend: v1", "x-remove:"}, got: []string{"x-served: v1"},
			},
			// What rule and backend both change is as the backend wants it.
			{
				send: "GET /both", header: map[string]string{"x-all": "caller"}, want: "v2",
				app: []string{"x-who: backend", "x-rule: 1", "x-all: caller, rule, backend", "x-not:"},
				got: []string{"x-app: backend", "x-app-secret:"},
			},
		}},
	})
	// The mesh adds nothing of Envoy's own to what an app sees.
	t.Run("nothing-else", func(t *testing.T) {
		r, err := s.web.Do(s.Service("shop", "request").String()+"/x", plainGet)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"X-Forwarded-For", "X-Forwarded-Host", "X-Request-Id", "X-Fairlead-Destination",
			"X-Envoy-Expected-Rq-Timeout-Ms", "X-Envoy-Attempt-Count", "X-Envoy-Original-Path", "X-Envoy-Internal",
		} {
			if v := values(r.Echo.Header, name); v != "" {
				t.Errorf("the app saw %s: %s", name, v)
			}
			if v := values(r.Header, name); v != "" {
				t.Errorf("the caller got %s: %s", name, v)
			}
		}
		if v := values(r.Header, "X-Envoy-Upstream-Service-Time"); v != "" {
			t.Errorf("the caller got X-Envoy-Upstream-Service-Time: %s", v)
		}
	})
}

// A redirect answers with the Location that the Gateway API describes: what the
// filter does not name stays as the caller wrote it, the query always does, and a
// port that the scheme implies is not shown. No app gets the request.
func TestRedirects(t *testing.T) {
	s := newShop(t)
	s.run(t, []routeCase{
		{name: "status", rules: `
- matches: [{path: {type: PathPrefix, value: /default}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org}}]
- matches: [{path: {type: PathPrefix, value: /301}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 301}}]
- matches: [{path: {type: PathPrefix, value: /302}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 302}}]
- matches: [{path: {type: PathPrefix, value: /303}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 303}}]
- matches: [{path: {type: PathPrefix, value: /307}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 307}}]
- matches: [{path: {type: PathPrefix, value: /308}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 308}}]
`, calls: []call{
			{send: "GET /default", want: "302", got: []string{"location: http://example.org/default"}},
			{send: "GET /301", want: "301", got: []string{"location: http://example.org/301"}},
			{send: "GET /302", want: "302", got: []string{"location: http://example.org/302"}},
			{send: "POST /303", body: "x", want: "303", got: []string{"location: http://example.org/303"}},
			{send: "POST /307", body: "x", want: "307", got: []string{"location: http://example.org/307"}},
			{send: "GET /308", want: "308", got: []string{"location: http://example.org/308"}},
		}},
		{name: "parts", rules: `
- matches: [{path: {type: PathPrefix, value: /scheme}}]
  filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
- matches: [{path: {type: PathPrefix, value: /port}}]
  filters: [{type: RequestRedirect, requestRedirect: {port: 8083}}]
- matches: [{path: {type: PathPrefix, value: /scheme-port}}]
  filters: [{type: RequestRedirect, requestRedirect: {scheme: https, port: 8443}}]
- matches: [{path: {type: PathPrefix, value: /implied}}]
  filters: [{type: RequestRedirect, requestRedirect: {scheme: https, port: 443, hostname: example.org}}]
- matches: [{path: {type: PathPrefix, value: /full}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}]
- matches: [{path: {type: PathPrefix, value: /prefix}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /other}}}]
- matches: [{path: {type: PathPrefix, value: /strip}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
- matches: [{path: {type: PathPrefix, value: /all}}]
  filters:
  - {type: RequestRedirect, requestRedirect: {scheme: https, hostname: example.org, port: 444, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /every}}}
- matches: [{path: {type: PathPrefix, value: /response}}]
  filters:
  - {type: RequestRedirect, requestRedirect: {hostname: example.org}}
  - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-why, value: moved}]}}
`, calls: []call{
			{send: "GET /scheme/a?x=1", host: "shop.example", want: "302", got: []string{"location: https://shop.example/scheme/a?x=1"}},
			{send: "GET /scheme", host: "shop.example:80", want: "302", got: []string{"location: https://shop.example/scheme"}},
			{send: "GET /port", host: "shop.example", want: "302", got: []string{"location: http://shop.example:8083/port"}},
			{send: "GET /port", host: "shop.example:80", want: "302", got: []string{"location: http://shop.example:8083/port"}},
			{send: "GET /scheme-port", host: "shop.example", want: "302", got: []string{"location: https://shop.example:8443/scheme-port"}},
			{send: "GET /implied", want: "302", got: []string{"location: https://example.org/implied"}},
			{send: "GET /full/a/b?x=1", host: "shop.example", want: "302", got: []string{"location: http://shop.example/new?x=1"}},
			{send: "GET /prefix", host: "shop.example", want: "302", got: []string{"location: http://shop.example/other"}},
			{send: "GET /prefix/a/b?x=1", host: "shop.example", want: "302", got: []string{"location: http://shop.example/other/a/b?x=1"}},
			{send: "GET /strip", host: "shop.example", want: "302", got: []string{"location: http://shop.example/"}},
			{send: "GET /strip/a?x=1", host: "shop.example", want: "302", got: []string{"location: http://shop.example/a?x=1"}},
			{send: "GET /all/of", want: "301", got: []string{"location: https://example.org:444/every/of"}},
			{send: "GET /response", want: "302", got: []string{"location: http://example.org/response", "x-why: moved"}},
		}},
	})
	// On a port other than the scheme's, the Location leads back to that port.
	t.Run("odd-port", func(t *testing.T) {
		s.Apply("odd", join(serviceOn("odd", "own", 8090), route("odd", "odd", `
- matches: [{path: {type: PathPrefix, value: /host}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org}}]
- matches: [{path: {type: PathPrefix, value: /path}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}]
- matches: [{path: {type: PathPrefix, value: /scheme}}]
  filters: [{type: RequestRedirect, requestRedirect: {scheme: http}}]
- matches: [{path: {type: PathPrefix, value: /https}}]
  filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
`)))
		s.Service("shop", "odd")
		for _, c := range []call{
			{send: "GET :8090/host", want: "302", got: []string{"location: http://example.org:8090/host"}},
			{send: "GET :8090/path", host: "shop.example:8090", want: "302", got: []string{"location: http://shop.example:8090/new"}},
			{send: "GET :8090/path", host: "shop.example", want: "302", got: []string{"location: http://shop.example:8090/new"}},
			{send: "GET :8090/scheme", host: "shop.example:8090", want: "302", got: []string{"location: http://shop.example:80/scheme"}},
			{send: "GET :8090/https", host: "shop.example:8090", want: "302", got: []string{"location: https://shop.example:443/https"}},
		} {
			s.call(t, s.Service("shop", "odd"), c)
		}
	})
	for name, app := range s.apps {
		if n := app.Requests.Load(); n != 0 {
			t.Errorf("app %s got %d requests", name, n)
		}
	}
}

// A rewrite changes host and path as the app sees them: whole path elements, the
// query untouched.
func TestRewrites(t *testing.T) {
	s := newShop(t)
	rewritten := func(send, path string) call {
		return call{send: "GET " + send, want: "v1", app: []string{"path: " + path}}
	}
	s.run(t, []routeCase{
		{name: "host", rules: `
- filters: [{type: URLRewrite, urlRewrite: {hostname: inside.example}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{{send: "GET /a?x=1", host: "outside.example", want: "v1", app: []string{"host: inside.example", "path: /a?x=1"}}}},
		{name: "full-path", rules: `
- matches: [{path: {type: PathPrefix, value: /a}}]
  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /whole/new}}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: RegularExpression, value: "/[0-9]+"}}]
  filters: [{type: URLRewrite, urlRewrite: {hostname: inside.example, path: {type: ReplaceFullPath, replaceFullPath: /a%20b}}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			rewritten("/a/b/c?x=1", "/whole/new?x=1"),
			rewritten("/a", "/whole/new"),
			{send: "GET /12", want: "v1", app: []string{"host: inside.example", "path: /a%20b"}},
		}},
		{name: "prefix", rules: `
- matches: [{path: {type: PathPrefix, value: /one}}]
  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /two}}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /slash/}}]
  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /two/}}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /strip}}]
  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{path: {type: PathPrefix, value: /empty.dot}}]
  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			rewritten("/one", "/two"),
			rewritten("/one/", "/two/"),
			rewritten("/one/x/one?q=/one", "/two/x/one?q=/one"),
			rewritten("/slash", "/two"),
			rewritten("/slash/x", "/two/x"),
			rewritten("/strip", "/"),
			rewritten("/strip/", "/"),
			rewritten("/strip/x?y=1", "/x?y=1"),
			rewritten("/strip?y=1", "/?y=1"),
			rewritten("/empty.dot/x", "/x"),
			rewritten("/empty.dot", "/"),
		}},
		{name: "root", rules: `
- filters: [{type: URLRewrite, urlRewrite: {hostname: inside.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /api}}}]
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{send: "GET /x?y=1", want: "v1", app: []string{"host: inside.example", "path: /api/x?y=1"}},
			rewritten("/", "/api/"),
		}},
		{name: "backend", rules: `
- matches: [{path: {type: PathPrefix, value: /a}}]
  filters: [{type: URLRewrite, urlRewrite: {hostname: rule.example}}]
  backendRefs:
  - name: v1
    port: 80
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /v1}}}]
- matches: [{path: {type: PathPrefix, value: /b}}]
  filters: [{type: URLRewrite, urlRewrite: {hostname: rule.example}}]
  backendRefs:
  - name: v2
    port: 80
    filters: [{type: URLRewrite, urlRewrite: {hostname: backend.example}}]
`, calls: []call{
			{send: "GET /a/x", want: "v1", app: []string{"host: rule.example", "path: /v1/x"}},
			{send: "GET /b/x", want: "v2", app: []string{"host: backend.example", "path: /b/x"}},
		}},
	})
}
