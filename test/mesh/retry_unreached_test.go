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
		selecting("app-gone", "half: gone", 8081),
		selecting("plain-app-gone", "plain: here", 8080),
		selecting("sidecar-gone", "crashed: here", 8080),
		selecting("big", "half: gone", 8081),
	))
	if err := sidecar.Envoy.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		service string
		body    int
	}{
		{"app-gone", 500_000},
		{"plain-app-gone", 10},
		{"sidecar-gone", 10},
		{"big", 3_000_000},
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
}
