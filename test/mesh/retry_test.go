package mesh_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// With the app gone on one of two endpoints, every request is answered, a POST as
// well, and the app gets each one exactly once: what never reached it may be sent
// elsewhere. That holds without rules and with.
func TestRetryHidesUnreachableEndpoint(t *testing.T) {
	p := newPlant(t)
	p.Apply("pair", join(
		selecting("pair", "ab: pods", 8081),
		selecting("ruled", "ab: pods", 8081), route("ruled", "ruled", "- backendRefs: [{name: ruled, port: 80}]"),
		selecting("bounded", "ab: pods", 8081), route("bounded", "bounded", `
- backendRefs: [{name: bounded, port: 80}]
  timeouts: {request: 20s, backendRequest: 10s}
`),
		selecting("codes", "ab: pods", 8081), route("codes", "codes", `
- backendRefs: [{name: codes, port: 80}]
  retry: {codes: [500]}
`),
	))
	for _, service := range []string{"pair", "ruled", "bounded", "codes"} {
		url := p.Service("shop", service).String()
		for _, client := range []struct {
			name string
			make func() *http.Client
		}{{"http1", p.web.Client}, {"h2c", p.web.H2Client}} {
			t.Run(service+"-"+client.name, func(t *testing.T) {
				for i := range 40 {
					c := client.make()
					method, body := http.MethodPost, "pay 10"
					if i%4 == 3 {
						method, body = http.MethodGet, ""
					}
					r := p.send(t, c, url, method, "", body)
					c.CloseIdleConnections()
					if r.Status != http.StatusOK || len(r.tries) != 1 || r.tries[0].body != int64(len(body)) {
						t.Fatalf("request %d: %d %s, arrivals: %v", i, r.Status, r.Body, r.tries)
					}
				}
			})
		}
	}
	// What a caller sees if no endpoint has the app is a 503 that tells nothing of the
	// mesh's own headers.
	p.Apply("gone", selecting("gone", "app: a", 8081))
	r := p.send(t, p.web.Client(), p.Service("shop", "gone").String(), http.MethodPost, "", "pay 10")
	if r.Status != http.StatusServiceUnavailable || values(r.Header, "x-fairlead-unreached") != "" {
		t.Errorf("with the app gone everywhere: %d, header %v", r.Status, r.Header)
	}
}

// What may have reached the app is not sent again unless the user asks for it: not
// a 503 of the app's, not a request whose connection was cut, and not one for which
// the app pretends that it was never reached.
func TestNothingThatMayHaveArrivedIsRetried(t *testing.T) {
	p := newPlant(t)
	p.Apply("all", join(
		selecting("all", "abc: pods", 8080),
		selecting("ruled", "abc: pods", 8080), route("ruled", "ruled", "- backendRefs: [{name: ruled, port: 80}]"),
		selecting("asked", "abc: pods", 8080), route("asked", "asked", `
- backendRefs: [{name: asked, port: 80}]
  retry: {attempts: 3, codes: [500]}
`),
	))
	for _, service := range []string{"all", "ruled", "asked"} {
		url := p.Service("shop", service).String()
		for _, client := range []struct {
			name string
			make func() *http.Client
		}{{"http1", p.web.Client}, {"h2c", p.web.H2Client}} {
			for _, plan := range []string{"503", "502", "504", "429", "reset", "forged"} {
				t.Run(service+"-"+client.name+"-"+plan, func(t *testing.T) {
					c := client.make()
					defer c.CloseIdleConnections()
					for _, method := range []string{http.MethodPost, http.MethodGet} {
						r := p.send(t, c, url, method, plan, map[string]string{http.MethodPost: "pay 10"}[method])
						want := plan
						if plan == "reset" || plan == "forged" {
							want = "503"
						}
						if fmt.Sprint(r.Status) != want || len(r.tries) != 1 {
							t.Errorf("%s: %d and %d arrivals, want %s and 1 (%s)", method, r.Status, len(r.tries), want, r.Body)
						}
						if v := values(r.Header, "x-fairlead-unreached"); v != "" {
							t.Errorf("%s: the caller got x-fairlead-unreached: %s", method, v)
						}
						// One request in between that is answered: no endpoint is put out.
						p.send(t, c, url, http.MethodGet, "", "")
					}
				})
			}
		}
	}
}

// retry after GEP-1731: the codes that are named, so many attempts and no more,
// the body again with each, a back-off between them.
func TestRetriesAsAsked(t *testing.T) {
	p := newPlant(t)
	ruled := func(name, retry string) string {
		return join(selecting(name, "abc: pods", 8080), route(name, name, "- backendRefs: [{name: "+name+", port: 80}]\n  retry: "+retry))
	}
	p.Apply("all", join(
		ruled("codes", "{attempts: 3, codes: [500, 502, 503, 504, 429]}"),
		ruled("default", "{codes: [503]}"),
		ruled("never", "{attempts: 0, codes: [503]}"),
		ruled("backoff", "{attempts: 1, codes: [503], backoff: 600ms}"),
		// One of the two endpoints refuses, and retries are off.
		selecting("gone", "ab: pods", 8081), route("gone", "gone", `
- backendRefs: [{name: gone, port: 80}]
  retry: {attempts: 0}
`),
	))
	c := p.web.Client()
	defer c.CloseIdleConnections()
	for _, test := range []struct {
		service, plan string
		status, tries int
	}{
		{"codes", "503", 200, 2},
		{"codes", "500,502", 200, 3},
		{"codes", "503,504,429", 200, 4},
		{"codes", "503,503,503,503", 503, 4},
		{"codes", "503,501", 501, 2},
		{"codes", "404", 404, 1},
		// Without an answer the caller would get a 503, which is to be retried.
		{"codes", "reset", 200, 2},
		{"default", "503", 200, 2},
		{"default", "503,503", 503, 2},
		{"default", "500", 500, 1},
		{"never", "503", 503, 1},
	} {
		t.Run(test.service+"-"+test.plan, func(t *testing.T) {
			const body = 100_000
			r := p.send(t, c, p.Service("shop", test.service).String(), http.MethodPost, test.plan, strings.Repeat("x", body))
			if r.Status != test.status || len(r.tries) != test.tries {
				t.Errorf("%d and %d arrivals, want %d and %d", r.Status, len(r.tries), test.status, test.tries)
			}
			for i, a := range r.tries {
				if a.body != body {
					t.Errorf("try %d had a body of %d bytes, want %d", i, a.body, body)
				}
				if i > 0 && i < 3 && a.pod == r.tries[i-1].pod {
					t.Errorf("try %d went to pod %s again", i, a.pod)
				}
			}
		})
	}

	// Each wait is random, below the back-off that was asked for: the longest of ten
	// is far above the default's 25 ms.
	t.Run("backoff", func(t *testing.T) {
		url := p.Service("shop", "backoff").String()
		var mu sync.Mutex
		var longest time.Duration
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				c := p.web.Client()
				defer c.CloseIdleConnections()
				r := p.send(t, c, url, http.MethodGet, "503", "")
				if r.Status != http.StatusOK || len(r.tries) != 2 {
					t.Errorf("%d and %d arrivals, want 200 and 2", r.Status, len(r.tries))
					return
				}
				mu.Lock()
				defer mu.Unlock()
				longest = max(longest, r.tries[1].at.Sub(r.tries[0].at))
			})
		}
		all.Wait()
		t.Logf("longest of ten waits: %s", longest)
		if longest < 100*time.Millisecond || longest > 5*time.Second {
			t.Errorf("the longest of ten waits was %s; the back-off is 600ms", longest)
		}
	})
	// Attempts of 0 turn off the retries that are on by default, too.
	t.Run("attempts-0", func(t *testing.T) {
		url := p.Service("shop", "gone").String()
		counts := map[int]int{}
		for range 8 {
			counts[p.send(t, c, url, http.MethodGet, "", "").Status]++
		}
		if counts[503] == 0 || counts[200] == 0 {
			t.Errorf("with one of two endpoints gone and no retries: %v, want both 200 and 503", counts)
		}
	})
}

// timeouts.request bounds a request with all its tries, backendRequest each try;
// who runs out of either gets a 504.
func TestTimeouts(t *testing.T) {
	p := newPlant(t)
	ruled := func(name, rest string) string {
		return join(selecting(name, "abc: pods", 8080), route(name, name, "- backendRefs: [{name: "+name+", port: 80}]\n  "+rest))
	}
	p.Apply("all", join(
		ruled("request", "timeouts: {request: 400ms}"),
		ruled("backend", "timeouts: {backendRequest: 400ms}"),
		ruled("both", "timeouts: {request: 10s, backendRequest: 400ms}\n  retry: {attempts: 2, codes: [503, 504]}"),
		ruled("within", "timeouts: {request: 900ms, backendRequest: 600ms}\n  retry: {attempts: 50, codes: [503, 504], backoff: 10ms}"),
		ruled("zero", "timeouts: {request: 0s, backendRequest: 300ms}"),
	))
	c := p.web.Client()
	defer c.CloseIdleConnections()
	const slack = 3 * time.Second
	for _, test := range []struct {
		service, plan   string
		status, tries   int
		atLeast, atMost time.Duration
	}{
		{"request", "50ms", 200, 1, 0, slack},
		{"request", "8s", 504, 1, 350 * time.Millisecond, slack},
		{"backend", "8s", 504, 1, 350 * time.Millisecond, slack},
		{"backend", "50ms", 200, 1, 0, slack},
		// A try that took too long is tried again where 504 is to be.
		{"both", "8s", 200, 2, 350 * time.Millisecond, slack},
		{"both", "8s,503", 200, 3, 350 * time.Millisecond, slack},
		{"both", "8s,8s,8s", 504, 3, 1100 * time.Millisecond, slack + time.Second},
		// Retries go on until the time for all is up.
		{"within", "8s,8s,8s", 504, 2, 850 * time.Millisecond, slack},
		{"zero", "8s", 504, 1, 250 * time.Millisecond, slack},
	} {
		t.Run(test.service+"-"+test.plan, func(t *testing.T) {
			start := time.Now()
			r := p.send(t, c, p.Service("shop", test.service).String(), http.MethodPost, test.plan, "pay 10")
			took := time.Since(start)
			if r.Status != test.status || len(r.tries) != test.tries {
				t.Errorf("%d and %d arrivals, want %d and %d", r.Status, len(r.tries), test.status, test.tries)
			}
			if took < test.atLeast || took > test.atMost {
				t.Errorf("took %s, want %s to %s", took, test.atLeast, test.atMost)
			}
		})
	}
	// 503s that keep coming are retried until the time is up, not longer.
	t.Run("retries-within-request", func(t *testing.T) {
		start := time.Now()
		r := p.send(t, c, p.Service("shop", "within").String(), http.MethodGet, strings.Repeat("503,", 60), "")
		took := time.Since(start)
		if r.Status != 503 && r.Status != 504 || took > slack {
			t.Errorf("%d after %s", r.Status, took)
		}
		t.Logf("%d after %s and %d tries", r.Status, took, len(r.tries))
	})
}
