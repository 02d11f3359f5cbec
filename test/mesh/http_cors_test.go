package mesh_test

import (
	"testing"
)

// A CORS filter answers preflights itself and marks the answers of the app, for the
// origins that it allows and for no others (GEP-1767).
func TestCORS(t *testing.T) {
	s := newShop(t)
	origin := func(o string) map[string]string { return map[string]string{"Origin": o} }
	preflight := func(o string) map[string]string {
		return map[string]string{
			"Origin": o, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-one, x-two",
		}
	}
	s.run(t, []routeCase{
		{name: "listed", rules: `
- filters:
  - type: CORS
    cors:
      allowOrigins: ["https://shop.example", "https://*.wide.example", "http://odd.example:8080"]
      allowMethods: [GET, PUT]
      allowHeaders: [x-one, x-two]
      exposeHeaders: [x-app]
      allowCredentials: true
      maxAge: 600
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{
				send: "OPTIONS /a", header: preflight("https://shop.example"), want: "200",
				got: []string{
					"access-control-allow-origin: https://shop.example", "access-control-allow-credentials: true",
					"access-control-allow-methods: GET,PUT", "access-control-allow-headers: x-one,x-two",
					"access-control-max-age: 600", "x-app:",
				},
			},
			{
				send: "GET /a", header: origin("https://shop.example"), want: "v1",
				app: []string{"origin: https://shop.example"},
				got: []string{
					"access-control-allow-origin: https://shop.example", "access-control-allow-credentials: true",
					"access-control-expose-headers: x-app", "x-app: v1",
				},
			},
			{send: "GET /", header: origin("https://a.b.wide.example"), want: "v1", got: []string{"access-control-allow-origin: https://a.b.wide.example"}},
			{send: "GET /", header: origin("http://odd.example:8080"), want: "v1", got: []string{"access-control-allow-origin: http://odd.example:8080"}},
			// Others: a preflight gets no permission, nor the app's opinion.
			{
				send: "OPTIONS /", header: preflight("https://evil.example"), want: "200",
				got: []string{"access-control-allow-origin:", "x-app:"},
			},
			{send: "GET /", header: origin("https://evil.example"), want: "v1", got: []string{"access-control-allow-origin:", "access-control-allow-credentials:"}},
			{send: "GET /", header: origin("https://shop.example.evil.example"), want: "v1", got: []string{"access-control-allow-origin:"}},
			{send: "GET /", header: origin("https://wide.example.evil.example"), want: "v1", got: []string{"access-control-allow-origin:"}},
			{send: "GET /", header: origin("http://shop.example"), want: "v1", got: []string{"access-control-allow-origin:"}},
			{send: "GET /", want: "v1", got: []string{"access-control-allow-origin:"}},
			// An OPTIONS request that is no preflight is the app's.
			{send: "OPTIONS /", want: "v1", app: []string{"method: OPTIONS"}},
		}},
		{name: "any", rules: `
- filters:
  - {type: CORS, cors: {allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"]}}
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{
				send: "OPTIONS /", header: preflight("https://shop.example"), want: "200",
				got: []string{
					"access-control-allow-origin: https://shop.example", "access-control-allow-credentials:",
					"access-control-allow-methods: PUT", "access-control-allow-headers: x-one, x-two", "access-control-max-age: 5",
				},
			},
			{send: "GET /", header: origin("https://shop.example"), want: "v1", got: []string{"access-control-allow-origin: https://shop.example"}},
		}},
		// Browsers take a "*" literally where credentials are allowed: what was asked
		// for is named, and nothing where nothing was.
		{name: "any-with-credentials", rules: `
- filters:
  - {type: CORS, cors: {allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], allowCredentials: true}}
  backendRefs: [{name: v1, port: 80}]
`, calls: []call{
			{
				send: "OPTIONS /", header: preflight("https://shop.example"), want: "200",
				got: []string{
					"access-control-allow-origin: https://shop.example", "access-control-allow-credentials: true",
					"access-control-allow-methods: PUT", "access-control-allow-headers: x-one, x-two",
				},
			},
			{
				send: "OPTIONS /", header: map[string]string{"Origin": "https://shop.example", "Access-Control-Request-Method": "DELETE"}, want: "200",
				got: []string{"access-control-allow-methods: DELETE", "access-control-allow-headers:"},
			},
		}},
		{name: "backend", rules: `
- backendRefs:
  - name: v2
    port: 80
    filters: [{type: CORS, cors: {allowOrigins: ["https://shop.example"], allowMethods: [PUT]}}]
`, calls: []call{
			{send: "OPTIONS /", header: preflight("https://shop.example"), want: "200", got: []string{"access-control-allow-origin: https://shop.example", "access-control-allow-methods: PUT"}},
			{send: "GET /", header: origin("https://shop.example"), want: "v2", got: []string{"access-control-allow-origin: https://shop.example"}},
		}},
	})
}
