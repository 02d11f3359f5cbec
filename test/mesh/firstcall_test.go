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

// guard is what makes Envoy route a held request again. It is called temporary:
// without it first calls would miss their rules (see TestFirstCallsGoByTheRules).
const guard = "envoy.reloadable_features.on_demand_cluster_no_recreate_stream"

// The very first call to a Service with rules goes by them, whether it is a GET or a
// POST with a body, over HTTP/1 or HTTP/2, alone or with others: 400 of 400, and
// not one by the Service's own endpoints.
func TestFirstCallsGoByTheRules(t *testing.T) {
	s := newShop(t)
	const services, atOnce = 400, 8
	name := func(i int) string { return fmt.Sprintf("first-%d", i) }
	var documents []string
	for i := range services {
		documents = append(documents, service(name(i), "own"), route(name(i), name(i), fmt.Sprintf(`
- matches: [{path: {value: /first}, method: POST}]
  backendRefs: [{name: v2, port: 80}]
- matches: [{path: {value: /first}}]
  filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: "%d"}]}}]
  backendRefs: [{name: v1, port: 80}]
`, i)))
	}
	s.Apply("first", join(documents...))
	urls := make([]string, services)
	for i := range services {
		urls[i] = s.Service("shop", name(i)).String() + "/first"
	}
	first := func(i int) error {
		c := s.web.Client()
		if i%4 >= 2 {
			c = s.web.H2Client()
		}
		defer c.CloseIdleConnections()
		request, want := meshtest.Request{}, "v1"
		if i%2 == 1 {
			request, want = meshtest.Request{Method: http.MethodPost, Body: strings.NewReader(strings.Repeat("x", 100))}, "v2"
		}
		r, err := meshtest.Do(s.Ctx, c, urls[i], request)
		switch {
		case err != nil:
			return err
		case outcome(r) != want:
			return fmt.Errorf("%s %s: answered by %s, want %s", r.Echo.Method, r.Echo.Proto, outcome(r), want)
		case want == "v1" && values(r.Echo.Header, "x-rule") != fmt.Sprint(i):
			return fmt.Errorf("by the rule of another Service: %s", values(r.Echo.Header, "x-rule"))
		case want == "v2" && r.Echo.Body != 100:
			return fmt.Errorf("the app got a body of %d bytes, want 100", r.Echo.Body)
		}
		return nil
	}
	failed := 0
	for i, err := range atOnceEach(atOnce, services, first) {
		if err == nil {
			continue
		}
		if failed++; failed <= 5 {
			t.Errorf("first call %d: %v", i, err)
		}
	}
	t.Logf("%d first calls, %d at once: %d failed", services, atOnce, failed)
	if n := s.apps["own"].Requests.Load(); n != 0 {
		t.Errorf("%d of %d first calls went by no rule", n, services)
	}

	// The guard is one that this Envoy knows, and has the value that it was given.
	if logs := s.web.Envoy.Logs(); strings.Contains(logs, "envoy bug") || strings.Contains(logs, guard) {
		t.Errorf("Envoy complains, most likely of %s:\n%.2000s", guard, logs)
	}
	runtime, err := s.web.Envoy.Admin(s.Ctx, "/runtime")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(runtime), guard) {
		t.Errorf("the bootstrap does not set %s: %s", guard, runtime)
	}
}

// atOnceEach does f for 0 to n-1, so many at once.
func atOnceEach(atOnce, n int, f func(i int) error) []error {
	errs := make([]error, n)
	next := make(chan int)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return errs
}

// Several first calls at the same time to the same Service all go by its rules.
func TestFirstCallsTogetherGoByTheRules(t *testing.T) {
	s := newShop(t)
	const services, together = 20, 8
	var documents []string
	for i := range services {
		name := fmt.Sprintf("together-%d", i)
		documents = append(documents, service(name, "own"), route(name, name, "- backendRefs: [{name: v1, port: 80}, {name: v2, port: 80}]"))
	}
	s.Apply("together", join(documents...))
	for i := range services {
		url := s.Service("shop", fmt.Sprintf("together-%d", i)).String()
		for _, err := range atOnceEach(together, together, func(j int) error {
			c := s.web.Client()
			if j%2 == 1 {
				c = s.web.H2Client()
			}
			defer c.CloseIdleConnections()
			r, err := meshtest.Do(s.Ctx, c, url, meshtest.Request{})
			if err == nil && outcome(r) != "v1" && outcome(r) != "v2" {
				err = fmt.Errorf("answered by %s, want v1 or v2", outcome(r))
			}
			return err
		}) {
			if err != nil {
				t.Errorf("Service %d: %v", i, err)
			}
		}
	}
}

// A first call whose body is still coming in cannot be routed again: it is served by
// the Service's own endpoints, as if it had no rules, and reaches them whole. The
// next one goes by the rules.
func TestFirstCallThatStreams(t *testing.T) {
	s := newShop(t)
	const cases = 5
	var documents []string
	for _, protocol := range []string{"http1", "h2c"} {
		for i := range cases {
			name := fmt.Sprintf("%s-%d", protocol, i)
			documents = append(documents, service(name, "own"), route(name, name, "- backendRefs: [{name: v1, port: 80}]"))
		}
	}
	// One that has no endpoints of its own, only rules.
	hollow := strings.Replace(service("hollow", "own"), "selector: {app: apps}", "selector: {app: nothing}", 1)
	s.Apply("streams", join(append(documents, hollow, route("hollow", "hollow", "- backendRefs: [{name: v1, port: 80}]"))...))
	for protocol, c := range map[string]*http.Client{"http1": s.web.Client(), "h2c": s.web.H2Client()} {
		t.Run(protocol, func(t *testing.T) {
			defer c.CloseIdleConnections()
			for i := range cases {
				url := s.Service("shop", fmt.Sprintf("%s-%d", protocol, i)).String()
				if r, err := s.streamed(c, url); err != nil || outcome(r) != "own" || r.Echo.Body != 2000 {
					t.Errorf("first call %d: answered by %s, body %d, %v; want own, 2000", i, outcome(r), r.Echo.Body, err)
				}
				if r, err := s.streamed(c, url); err != nil || outcome(r) != "v1" || r.Echo.Body != 2000 {
					t.Errorf("second call %d: answered by %s, body %d, %v; want v1, 2000", i, outcome(r), r.Echo.Body, err)
				}
			}
		})
	}
	t.Run("without-endpoints-of-its-own", func(t *testing.T) {
		url := s.Service("shop", "hollow").String()
		c := s.web.Client()
		defer c.CloseIdleConnections()
		if r, err := s.streamed(c, url); err != nil || outcome(r) != "503" {
			t.Errorf("first call: %s, %v; want 503", outcome(r), err)
		}
		if r, err := s.streamed(c, url); err != nil || outcome(r) != "v1" {
			t.Errorf("second call: %s, %v; want v1", outcome(r), err)
		}
	})
}

// streamed sends a POST whose first half arrives with the headers and whose second
// half the caller sends only when the request has got as far as it can: to an app,
// or to an answer.
func (s *shop) streamed(c *http.Client, url string) (meshtest.Response, error) {
	before := s.arrivals()
	read, write := io.Pipe()
	type result struct {
		meshtest.Response
		error
	}
	done := make(chan result, 1)
	go func() {
		r, err := meshtest.Do(s.Ctx, c, url, meshtest.Request{Method: http.MethodPost, Body: read})
		read.Close() // ends the writing, if nobody read all of it
		done <- result{r, err}
	}()
	half := make([]byte, 1000)
	if _, err := write.Write(half); err != nil {
		r := <-done
		return r.Response, r.error
	}
	s.Eventually("the request is at an app, or answered", func() error {
		if s.arrivals() == before && len(done) == 0 {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	write.Write(half) //nolint:errcheck // an answer may have come before
	write.Close()
	r := <-done
	return r.Response, r.error
}

func (s *shop) arrivals() (n int64) {
	for _, app := range s.apps {
		n += app.Requests.Load()
	}
	return n
}

// An upload of some megabytes as the first call arrives whole, at the rules' backend
// or at the Service's own endpoints.
func TestFirstCallThatIsBig(t *testing.T) {
	s := newShop(t)
	const cases, size = 10, 3 << 20
	var documents []string
	for i := range cases {
		name := fmt.Sprintf("big-%d", i)
		documents = append(documents, service(name, "own"), route(name, name, "- backendRefs: [{name: v1, port: 80}]"))
	}
	s.Apply("big", join(documents...))
	counts := map[string]int{}
	for i := range cases {
		r, err := s.web.Do(s.Service("shop", fmt.Sprintf("big-%d", i)).String(), meshtest.Request{
			Method: http.MethodPost, Body: strings.NewReader(strings.Repeat("x", size)),
		})
		if err != nil || r.Status != http.StatusOK || r.Echo.Body != size {
			t.Errorf("upload %d: %d, body %d, %v", i, r.Status, r.Echo.Body, err)
		}
		counts[outcome(r)]++
	}
	t.Log(counts)
}

// The first gRPC call goes by the rules if it is unary or streams from the server
// alone; one that streams from the client may be served without rules, and works.
func TestFirstGRPCCalls(t *testing.T) {
	s := newGRPCShop(t)
	const each = 10
	kinds := []string{"unary", "server", "client", "bidi"}
	var documents []string
	for _, kind := range kinds {
		for i := range each {
			name := fmt.Sprintf("%s-%d", kind, i)
			documents = append(documents, service(name, "own"), grpcRoute(name, name, "- backendRefs: [{name: v1, port: 80}]"))
		}
	}
	s.Apply("first", join(documents...))
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			counts := map[string]int{}
			for i := range each {
				conn := dial(t, s.web, s.Service("shop", fmt.Sprintf("%s-%d", kind, i)).String()+":80")
				first := invoke(s.Ctx, conn, kind, nil).outcome()
				counts[first]++
				mayMiss := kind == "client" || kind == "bidi"
				if first != "v1" && (first != "own" || !mayMiss) {
					t.Errorf("first call %d: answered by %s", i, first)
				}
				if second := invoke(s.Ctx, conn, kind, nil).outcome(); second != "v1" {
					t.Errorf("second call %d: answered by %s, want v1", i, second)
				}
			}
			t.Logf("first calls: %v", counts)
		})
	}
}
