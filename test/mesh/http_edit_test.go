package mesh_test

import (
	"fmt"
	"testing"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// Rules that come to a Service in use, change there and go again take effect, and
// no request fails meanwhile.
func TestRulesAreEditedUnderLoad(t *testing.T) {
	s := newShop(t)
	s.Apply("busy", service("busy", "own"))
	url := s.Service("shop", "busy").String()
	for _, client := range []struct {
		name string
		load func() *meshtest.Load
	}{
		{"http1", func() *meshtest.Load { return s.web.StartLoad(url, 4) }},
		{"h2c", func() *meshtest.Load { return s.web.StartLoadWith(url, 4, s.web.H2Client) }},
	} {
		load := client.load()
		expect := func(what, app string) {
			t.Helper()
			s.Eventually(what, func() error { return answeredBy(s.web, url, app) })
			s.web.More(load, 20)
		}
		expect("no rules", "own")
		for range 3 {
			s.Apply("rules", route("busy", "busy", "- backendRefs: [{name: v1, port: 80}]"))
			expect("a rule was added", "v1")
			s.Apply("rules", route("busy", "busy", "- backendRefs: [{name: v1, port: 80, weight: 0}, {name: v2, port: 80, weight: 1}]"))
			expect("its backend was changed", "v2")
			s.Apply("rules", join(
				route("busy", "busy", "- backendRefs: [{name: v2, port: 80}]"),
				route("busier", "busy", "- {matches: [{method: GET}], backendRefs: [{name: v3, port: 80}]}")))
			expect("a second route was added", "v3")
			s.Apply("rules", route("busy", "busy", "- backendRefs: [{name: v2, port: 80}]"))
			expect("the second route was deleted", "v2")
			s.Delete("rules")
			expect("the last route was deleted", "own")
		}
		t.Logf("%s: 15 edits", client.name)
		s.web.MustNotFail(load)
	}
}

// A backend that is deleted while a rule names it fails its requests with a 500,
// and works again when it is back; the rule's other backend is not affected.
func TestABackendIsDeletedAndMadeAgain(t *testing.T) {
	s := newShop(t)
	s.Apply("backend", service("short-lived", "v2"))
	s.Apply("busy", join(service("busy", "own"), route("busy", "busy", `
- matches: [{path: {value: /a}}]
  backendRefs: [{name: short-lived, port: 80}]
- backendRefs: [{name: v1, port: 80}]
`)))
	url := s.Service("shop", "busy").String()
	load := s.web.StartLoad(url, 2)
	for range 3 {
		s.Eventually("the backend is there", func() error { return answeredBy(s.web, url+"/a", "v2") })
		s.Delete("backend")
		s.Eventually("the backend is gone", func() error { return answeredBy(s.web, url+"/a", "500") })
		s.Apply("backend", service("short-lived", "v2"))
	}
	s.Eventually("the backend is there", func() error { return answeredBy(s.web, url+"/a", "v2") })
	s.web.MustNotFail(load)
}

// answeredBy tells whether a GET has that outcome (see outcome).
func answeredBy(pod *meshtest.Pod, url, want string) error {
	r, err := pod.Do(url, meshtest.Request{})
	if err != nil {
		return err
	}
	if got := outcome(r); got != want {
		return fmt.Errorf("answered by %s, want %s (%.200s)", got, want, r.Body)
	}
	return nil
}
