package mesh_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// A mirror gets a copy of the requests, body and all, as the backend gets them.
// Its answers are dropped: one that fails harms no caller.
func TestMirrors(t *testing.T) {
	var mu sync.Mutex
	copies := map[string]string{} // what the mirror v3 got, by path
	mirror := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body strings.Builder
		fmt.Fprintf(&body, "%s %s %s ", r.Method, r.Host, values(r.Header, "x-color"))
		if _, err := io.Copy(&body, r.Body); err != nil {
			fmt.Fprint(&body, err)
		}
		mu.Lock()
		copies[r.URL.RequestURI()] = body.String()
		mu.Unlock()
		http.Error(w, "mirrors fail", http.StatusInternalServerError)
	})
	s := newShopOf(t, func(s *shop, app string, port int) {
		handler := echo(app)
		if app == "v3" {
			handler = mirror
		}
		s.apps[app] = s.pod.Serve(port, handler)
	})
	s.Apply("mirrors", join(
		service("one", "own"), route("one", "one", `
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 80}}}
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-color, value: red}]}}
  backendRefs: [{name: v1, port: 80}]
`),
		service("several", "own"), route("several", "several", `
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 80}, percent: 100}}
  backendRefs: [{name: v1, port: 80}]
`),
		service("share", "own"), route("share", "share", `
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}, percent: 30}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 80}, fraction: {numerator: 1, denominator: 2}}}
  backendRefs: [{name: v1, port: 80}]
`),
		service("none", "own"), route("none", "none", `
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}, percent: 0}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}
  backendRefs: [{name: v1, port: 80}]
`),
		service("of-backend", "own"), route("of-backend", "of-backend", `
- backendRefs:
  - name: v1
    port: 80
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 80}}}]
`)))

	t.Run("one", func(t *testing.T) {
		address := s.Service("shop", "one")
		s.call(t, address, call{send: "POST /first?x=1", host: "shop.example", body: "hello", want: "v1", app: []string{"x-color: red", "body: 5"}})
		s.call(t, address, call{send: "GET /second", host: "shop.example", want: "v1"})
		s.Eventually("the copies", func() error {
			mu.Lock()
			defer mu.Unlock()
			if got, want := copies["/first?x=1"], "POST shop.example red hello"; got != want {
				return fmt.Errorf("the copy of a POST: %q, want %q", got, want)
			}
			if got, want := copies["/second"], "GET shop.example red "; got != want {
				return fmt.Errorf("the copy of a GET: %q, want %q", got, want)
			}
			return nil
		})
	})
	t.Run("several", func(t *testing.T) {
		counts := s.mirrored(t, "several", 20)
		if counts["v2"] != 20 || counts["v3"] != 20 {
			t.Errorf("of 20 requests: %v", counts)
		}
	})
	t.Run("share", func(t *testing.T) {
		const n = 400
		counts := s.mirrored(t, "share", n)
		if c := counts["v2"]; c < n*18/100 || c > n*42/100 {
			t.Errorf("%d of %d copies for a mirror of 30%%", c, n)
		}
		if c := counts["v3"]; c < n*35/100 || c > n*65/100 {
			t.Errorf("%d of %d copies for a mirror of 1/2", c, n)
		}
		t.Logf("of %d requests: %v", n, counts)
	})
	t.Run("none", func(t *testing.T) {
		if counts := s.mirrored(t, "none", 20); counts["v2"] != 0 {
			t.Errorf("of 20 requests: %v", counts)
		}
	})
	t.Run("of-backend", func(t *testing.T) {
		if counts := s.mirrored(t, "of-backend", 5); counts["v3"] != 5 {
			t.Errorf("of 5 requests: %v", counts)
		}
	})
}

// mirrored sends n requests that v1 has to answer, and counts the copies.
func (s *shop) mirrored(t *testing.T, service string, n int) map[string]int {
	t.Helper()
	before := map[string]int64{}
	for name, app := range s.apps {
		before[name] = app.Requests.Load()
	}
	c := s.web.Client()
	defer c.CloseIdleConnections()
	address := s.Service("shop", service).String()
	for range n {
		r, err := meshtest.Do(s.Ctx, c, address, meshtest.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if outcome(r) != "v1" {
			t.Fatalf("answered by %s, want v1", outcome(r))
		}
	}
	// A mirror's request begins with the caller's own and may end after it.
	s.Eventually("no copy under way", func() error { return s.quiet(s.web) })
	counts := map[string]int{}
	for name, app := range s.apps {
		counts[name] = int(app.Requests.Load() - before[name])
	}
	return counts
}

// quiet reports that no request is under way from a pod to any Service.
func (s *shop) quiet(pod *meshtest.Pod) error {
	stats, err := pod.Envoy.Admin(s.Ctx, "/stats?filter=upstream_rq_active$")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(stats)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if value != "0" && !strings.HasPrefix(name, "cluster.xds") {
			return fmt.Errorf("%s: %s", name, value)
		}
	}
	return nil
}
