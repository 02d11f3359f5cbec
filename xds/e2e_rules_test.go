package xds_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
)

const split = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: alt, port: 8080, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: v1, namespace: shop}
spec:
  clusterIP: 10.96.0.11
  selector: {app: catalog, version: v1}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: shop}
spec:
  clusterIP: 10.96.0.12
  selector: {app: catalog, version: v2}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: catalog, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /split}}]
    backendRefs: [{name: v1, port: 80, weight: 90}, {name: v2, port: 80, weight: 10}]
  - matches: [{path: {type: PathPrefix, value: /half}}]
    backendRefs: [{name: v1, port: 80, weight: 1}, {name: gone, port: 80, weight: 1}]
  - matches: [{path: {type: PathPrefix, value: /perbackend}}]
    backendRefs:
    - {name: v1, port: 80, weight: 1, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}]}
    - {name: v2, port: 80, weight: 1, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-b, value: "100%"}]}}]}
  - matches: [{path: {type: PathPrefix, value: /strip}}]
    filters: [{type: URLRewrite, urlRewrite: {hostname: new.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
    backendRefs: [{name: v1, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /full}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: "/all%20of/it"}}}]
    backendRefs: [{name: v1, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: 301}}]
  - matches: [{path: {type: Exact, value: /cors}}]
    filters: [{type: CORS, cors: {allowOrigins: ["https://*.example.com"], allowMethods: [GET, PUT], allowHeaders: [x-a], maxAge: 60, allowCredentials: true}}]
    backendRefs: [{name: v1, port: 80}]
  - matches: [{path: {type: Exact, value: /slow}}]
    timeouts: {request: 300ms}
    backendRefs: [{name: v1, port: 80}]
  - matches: [{path: {type: Exact, value: /flaky}}]
    retry: {attempts: 3, codes: [503], backoff: 5ms}
    backendRefs: [{name: v1, port: 80}]
`

// Rules: their first call, weights, filters and answers of the proxy's own.
func TestLiveRules(t *testing.T) {
	m := newLive(t, liveSettings())
	web := m.pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	flaky, mirrored := &atomic.Int64{}, &atomic.Int64{}
	for _, v := range []string{"v1", "v2"} {
		p := m.pod(lab.PodSpec{Namespace: "shop", Name: v, ServiceAccount: v, Labels: map[string]string{"app": "catalog", "version": v}, Meshed: true})
		m.listen(p, 8080, func(l net.Listener) {
			http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/slow":
					select {
					case <-r.Context().Done():
					case <-time.After(5 * time.Second):
					}
				case r.URL.Path == "/flaky" && flaky.Add(1)%3 != 0:
					w.WriteHeader(503)
				case r.URL.Path == "/perbackend" && v == "v2" && r.Header.Get("x-b") == "":
					mirrored.Add(1)
				}
				w.Header().Set("x-fairlead-unreached", "1") // forged
				echo(v).ServeHTTP(w, r)
			}))
		})
	}
	m.apply(split)
	m.start()
	client := web.HTTPClient()

	// All first calls at once: none may be served as if there were no rules.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			method := []string{"GET", "POST"}[i%2]
			code, body, h := call(t, client, method, "http://10.96.0.10/strip/a%2Fb?q=1", func(r *http.Request) {
				if method == "POST" {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body")), 4
				}
			})
			if code != 200 || !strings.Contains(body, "host=new.example\nuri=/a%2Fb?q=1\n") || h.Get("x-fairlead-unreached") != "" {
				t.Errorf("first call: %d %s %v", code, body, h)
			}
		})
	}
	wg.Wait()

	count := func(path string, n int) map[string]int {
		got := map[string]int{}
		for range n {
			code, body, _ := call(t, client, "GET", "http://10.96.0.10"+path, nil)
			app, _, _ := strings.Cut(strings.TrimPrefix(body, "app="), "\n")
			if code != 200 {
				app = fmt.Sprint(code)
			}
			got[app]++
		}
		return got
	}
	near := func(what string, got, want, of int) {
		if got < want-of/20-10 || got > want+of/20+10 {
			t.Errorf("%s: %d of %d, want about %d", what, got, of, want)
		}
	}
	got := count("/split", 500)
	near("v2 of 90/10", got["v2"], 50, 500)
	got = count("/half", 300)
	near("500s of a half", got["500"], 150, 300)
	near("v1 of a half", got["v1"], 150, 300)
	got = count("/perbackend", 300)
	near("v1 with a filter of its own", got["v1"], 150, 300)
	near("v2 with a filter of its own", got["v2"], 150, 300)
	eventually(t, "mirrored", func() bool { return int(mirrored.Load()) == got["v1"] })

	for _, c := range []struct {
		method, url, want string
		code              int
		header            map[string]string
		wantHeader        map[string]string
	}{
		{url: "/strip", code: 200, want: "uri=/\n"},
		{url: "/strip/", code: 200, want: "uri=/\n"},
		{url: "/stripped", code: 404, want: "no rule"},
		{url: "/full/x?q=1", code: 200, want: "uri=/all%20of/it?q=1\n"},
		{url: "/none", code: 404, want: "no rule for Service shop/catalog port 80"},
		{url: "/old/x?q=1", code: 301, wantHeader: map[string]string{"location": "https://10.96.0.10/new/x?q=1"}},
		{url: "/slow", code: 504},
		{url: "/flaky", code: 200},
		{method: "OPTIONS", url: "/cors", code: 200, header: map[string]string{"origin": "https://a.b.example.com", "access-control-request-method": "PUT"},
			wantHeader: map[string]string{"access-control-allow-origin": "https://a.b.example.com", "access-control-allow-methods": "GET,PUT", "access-control-max-age": "60", "access-control-allow-credentials": "true"}},
		{method: "OPTIONS", url: "/cors", code: 200, header: map[string]string{"origin": "https://evil.test", "access-control-request-method": "PUT"},
			wantHeader: map[string]string{"access-control-allow-origin": ""}},
		{url: "/cors", code: 200, header: map[string]string{"origin": "https://x.example.com"}, want: "app=v1",
			wantHeader: map[string]string{"access-control-allow-origin": "https://x.example.com"}},
	} {
		if c.method == "" {
			c.method = "GET"
		}
		code, body, h := call(t, client, c.method, "http://10.96.0.10"+c.url, func(r *http.Request) {
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
		})
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.url, code, body, c.code, c.want)
		}
		for k, v := range c.wantHeader {
			if h.Get(k) != v {
				t.Errorf("%s: %s: %q, want %q", c.url, k, h.Get(k), v)
			}
		}
	}

	// The port of the Service is in the Location unless it is the scheme's.
	if _, _, h := call(t, client, "GET", "http://10.96.0.10:8080/old/x", nil); h.Get("location") != "https://10.96.0.10:443/new/x" {
		t.Errorf("location: %s", h.Get("location"))
	}

	// Rules go: calls go on, to the Service's own endpoints.
	head, _, _ := strings.Cut(split, "---\napiVersion: gateway")
	m.apply(head)
	eventually(t, "rules gone", func() bool {
		code, body, _ := call(t, client, "GET", "http://10.96.0.10/none", nil)
		return code == 200 && strings.Contains(body, "uri=/none")
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Errorf("%s: not after 10 s", what)
			return
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// What an app could do without the mesh, it can do with it: upgrades, CONNECT,
// old clients, long silence.
func TestLiveProtocols(t *testing.T) {
	m := newLive(t, liveSettings())
	web := m.pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	app := m.pod(lab.PodSpec{Namespace: "shop", Name: "app", ServiceAccount: "app", Labels: map[string]string{"app": "catalog"}, Meshed: true})
	m.listen(app, 8080, eachConn(func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		switch {
		case req.Method == "CONNECT":
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			io.Copy(c, r)
		case req.Header.Get("upgrade") != "":
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(c, r)
		default:
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Saw: %s %s\r\nContent-Length: 2\r\n\r\nok", req.Proto, req.Host)
		}
	}))
	m.apply(shop)
	m.start()
	for _, c := range []struct{ name, say, want, echo string }{
		{"WebSocket", "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 101", "frame"},
		{"CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "HTTP/1.1 200", "bytes"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.", ""},
		{"h2c upgrade is ignored", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "HTTP/1.1 200", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := web.DialContext(t.Context(), "tcp", "10.96.0.10:80")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(conn, c.say)
			r := bufio.NewReader(conn)
			line, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, c.want) || strings.Contains(line, " 4") {
				rest, _ := r.Peek(r.Buffered())
				t.Fatalf("%q %v\n%s", line, err, rest)
			}
			if c.echo == "" {
				return
			}
			for line != "\r\n" {
				if line, err = r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			fmt.Fprintln(conn, c.echo)
			if got, err := r.ReadString('\n'); err != nil || strings.TrimSpace(got) != c.echo {
				t.Errorf("echo: %q %v", got, err)
			}
		})
	}
}
