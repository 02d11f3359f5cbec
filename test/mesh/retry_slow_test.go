package mesh_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// A request has no time limit unless a route sets one: 17 s is more than any
// default of Envoy's (15 s). A limit of "0s" is none, either.
func TestNoTimeoutUnlessAsked(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	ruled := func(name, timeouts string) string {
		return join(selecting(name, "app: b", 8080), route(name, name, "- backendRefs: [{name: "+name+", port: 80}]\n"+timeouts))
	}
	p.Apply("all", join(
		selecting("no-rules", "app: b", 8080),
		ruled("no-timeouts", ""),
		ruled("zero", "  timeouts: {request: 0s, backendRequest: 0s}"),
		ruled("zero-request", "  timeouts: {request: 0s, backendRequest: 25s}"),
	))
	var all sync.WaitGroup
	for _, service := range []string{"no-rules", "no-timeouts", "zero", "zero-request"} {
		url := p.Service("shop", service).String()
		for protocol, c := range map[string]*http.Client{"http1": p.web.Client(), "h2c": p.web.H2Client()} {
			all.Go(func() {
				defer c.CloseIdleConnections()
				if r := p.send(t, c, url, http.MethodGet, "17s", ""); r.Status != http.StatusOK || r.Took < 16*time.Second {
					t.Errorf("%s, %s: %d after %s: %.200s", service, protocol, r.Status, r.Took, r.Body)
				}
			})
		}
	}
	all.Wait()
}

// An endpoint that was put out is tried again after a while.
func TestEndpointThatWasPutOutComesBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.Apply("back", selecting("back", "abc: pods", 8080))
	url := p.Service("shop", "back").String()
	c := p.web.Client()
	defer c.CloseIdleConnections()
	p.rounds(t, c, url, 503, []string{"a"}, 60)
	if got := p.rounds(t, c, url, 503, []string{"a"}, 60); got["a"] != 0 {
		t.Errorf("after failures pod a still got %d of 60 requests", got["a"])
	}
	start := time.Now()
	p.Eventually("pod a is in use again", func() error {
		if got := p.rounds(t, c, url, 200, nil, 3); got["a"] == 0 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	t.Logf("back after %s", time.Since(start))
}

// A pod whose node died (packets to it lead nowhere, and nobody has noticed yet)
// costs a new connection its time-out, and the request goes to another pod, a POST
// as well.
func TestRetryHidesVanishedPod(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.Apply("vanished", selecting("vanished", "ab: pods", 8080))
	url := p.Service("shop", "vanished").String()
	unplug := func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(link)
	}
	if err := p.pods["a"].Netns.Do(unplug); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			c := p.web.Client()
			defer c.CloseIdleConnections()
			r := p.send(t, c, url, http.MethodPost, "", "pay 10")
			if r.Status != http.StatusOK || len(r.tries) != 1 || r.tries[0].pod != "b" {
				t.Errorf("%d after %s, %.200s, arrivals %v", r.Status, r.Took, r.Body, r.tries)
			}
			if r.Took > 15*time.Second {
				t.Errorf("took %s", r.Took)
			}
			t.Logf("answered after %s", r.Took.Round(time.Millisecond))
		})
	}
	all.Wait()
}
