package mesh_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// An endpoint that fails five times in a row (502, 503, 504, or not reached) gets
// no more requests for a while; what an app answers otherwise is not held against
// it, and at least half the endpoints stay in use, however many fail.
func TestFailingEndpointIsPutOutButNeverMoreThanHalf(t *testing.T) {
	p := newPlant(t)
	p.Apply("all", join(
		selecting("one-of-three", "abc: pods", 8080),
		selecting("ruled", "abc: pods", 8080), route("ruled", "ruled", "- backendRefs: [{name: ruled, port: 80}]"),
		selecting("two-of-three", "abc: pods", 8080),
		selecting("two-of-two", "ab: pods", 8080),
		selecting("alone", "app: a", 8080),
		selecting("unhappy", "abc: pods", 8080),
	))
	// bad answers with that status in the pods that are named.
	for _, test := range []struct {
		service string
		status  int
		bad     []string
		// out are the pods that must get nothing in the end; of the others that many.
		out  []string
		left int
	}{
		{"one-of-three", 503, []string{"a"}, []string{"a"}, 2},
		{"ruled", 502, []string{"b"}, []string{"b"}, 2},
		{"two-of-three", 504, []string{"a", "b"}, nil, 2},
		{"two-of-two", 503, []string{"a", "b"}, nil, 1},
		{"alone", 503, []string{"a"}, nil, 1},
		{"unhappy", 500, []string{"a"}, nil, 3},
	} {
		t.Run(test.service, func(t *testing.T) {
			url := p.Service("shop", test.service).String()
			c := p.web.Client()
			defer c.CloseIdleConnections()
			// Enough for each endpoint to fail five times in a row: least-request
			// chooses among idle endpoints at random.
			p.rounds(t, c, url, test.status, test.bad, 60)
			got := p.rounds(t, c, url, test.status, test.bad, 60)
			t.Logf("afterwards, of 60: %v", got)
			for _, pod := range test.out {
				if got[pod] != 0 {
					t.Errorf("pod %s got %d of 60 requests after it had failed", pod, got[pod])
				}
			}
			if len(got) != test.left {
				t.Errorf("%d pods got requests, want %d: %v", len(got), test.left, got)
			}
		})
	}
}

// rounds sends n requests, one after the other, that the bad pods answer with the
// status, and counts at which pods they arrived. None may end otherwise.
func (p *plant) rounds(t *testing.T, c *http.Client, url string, status int, bad []string, n int) map[string]int {
	t.Helper()
	arrived := map[string]int{}
	for i := range n {
		id := fmt.Sprintf("%s/%d", url, p.next())
		header := map[string]string{"x-id": id}
		for _, pod := range bad {
			header["x-plan-"+pod] = fmt.Sprint(status)
		}
		r, err := meshtest.Do(p.Ctx, c, url, meshtest.Request{Header: header})
		if err != nil {
			t.Fatal(err)
		}
		tries := p.app.of(id)
		if len(tries) != 1 {
			t.Fatalf("request %d: %d arrivals, answer %d %s", i, len(tries), r.Status, r.Body)
		}
		arrived[tries[0].pod]++
	}
	return arrived
}
