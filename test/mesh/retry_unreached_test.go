package mesh_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// However an endpoint cannot be reached (its app is gone, its sidecar is gone, it
// has no sidecar and its app is gone), a POST is answered by the other one, and
// arrives there once.
func TestRetryCoversEveryWayOfNotBeingReached(t *testing.T) {
	p := newPlant(t)
	add := func(name string, meshed bool) *meshtest.Pod {
		spec := lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: name, Meshed: meshed}
		spec.Labels = map[string]string{"app": name, name: "here"}
		return p.Pod(spec)
	}
	both := func(label string) *meshtest.Pod {
		spec := podSpec("shop", label+"-living")
		spec.Labels = map[string]string{label: "here"}
		return p.Pod(spec)
	}
	add("plain", false)
	both("plain").Serve(8080, p.app.handler("plain-living"))
	sidecar := add("crashed", true)
	both("crashed").Serve(8080, p.app.handler("crashed-living"))
	p.Apply("all", join(
		selecting("app-gone", "ab: pods", 8081),
		selecting("plain-app-gone", "plain: here", 8080),
		selecting("sidecar-gone", "crashed: here", 8080),
		selecting("big", "ab: pods", 8081),
	))
	if err := sidecar.Envoy.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		service string
		body    int
	}{
		{"app-gone", 1_000_000},
		{"plain-app-gone", 10},
		{"sidecar-gone", 10},
	} {
		t.Run(test.service, func(t *testing.T) {
			url := p.Service("shop", test.service).String()
			for _, make := range []func() *http.Client{p.web.Client, p.web.H2Client} {
				for range 8 {
					c := make()
					r := p.send(t, c, url, http.MethodPost, "", strings.Repeat("x", test.body))
					c.CloseIdleConnections()
					if r.Status != http.StatusOK || len(r.tries) != 1 || r.tries[0].body != int64(test.body) {
						t.Errorf("%d %.200s, arrivals %v", r.Status, r.Body, r.tries)
					}
				}
			}
		})
	}

	// A sidecar keeps at most 1 MiB of a request to be able to send it again. What is
	// bigger may fail (503, or 507 if the limit is met while a retry waits), but then
	// it arrived nowhere.
	t.Run("bigger-than-is-kept", func(t *testing.T) {
		url := p.Service("shop", "big").String()
		for range 8 {
			c := p.web.Client()
			r := p.send(t, c, url, http.MethodPost, "", strings.Repeat("x", 3_000_000))
			c.CloseIdleConnections()
			if answered := r.Status == http.StatusOK && len(r.tries) == 1; !answered && (r.Status < 500 || len(r.tries) > 0) {
				t.Errorf("%d %.200s, arrivals %v", r.Status, r.Body, r.tries)
			}
		}
	})
}
