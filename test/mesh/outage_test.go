package mesh_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
	"github.com/fairlead/fairlead/xds/ads"
)

// outageMesh has two catalog pods and a calling one, and Services that nobody has
// called yet: new-0, new-1 and so on lead to the catalog pods.
func outageMesh(t *testing.T, options ...meshtest.Option) (m *meshtest.Mesh, pods []*catalogPod, web *meshtest.Pod, address string) {
	t.Helper()
	m = meshtest.New(t, options...)
	m.Apply("catalog", catalogService)
	for i := range 4 {
		m.Apply(fmt.Sprint("new-", i), strings.Replace(catalogService, "name: catalog,", fmt.Sprintf("name: new-%d,", i), 1))
	}
	pods = []*catalogPod{growCatalog(t, m, "catalog-0"), growCatalog(t, m, "catalog-1")}
	web = m.Pod(podSpec("shop", "web"))
	return m, pods, web, m.Service("shop", "catalog").String()
}

// A restart of the control plane costs no request, no stream and no connection. A
// sidecar that comes back is sent nothing that it has: not even a certificate.
func TestControlPlaneRestarts(t *testing.T) {
	t.Parallel()
	m, pods, web, address := outageMesh(t)
	l, held := startLoads(t, web, address), holders(t, web, address)
	l.more(5)
	m.Apply("rules", strings.Replace(route("catalog", "catalog", "- backendRefs: [{name: catalog, port: 80}]"), "name: catalog}", "name: catalog, port: 80}", 1))
	m.Eventually("the rule", func() error { // its virtual host is one of the things not to send again
		for _, r := range m.Proxy(web).Resources {
			if r.Name == "outbound/"+address+":80" && r.Acked == r.Version && r.Version != "" {
				return nil
			}
		}
		return errors.New("not yet")
	})
	m.Connected(web, pods[0].Pod, pods[1].Pod)
	before := m.Proxy(web)
	serial := serialOf(t, m, pods[0].Pod)
	m.Stop()
	l.more(10)
	m.Start()
	m.Connected(web, pods[0].Pod, pods[1].Pod)
	l.more(5)
	s := m.Controller().Server().Stats()
	t.Logf("after the restart: %d resources and %d bytes in %d responses to %d sidecars", s.Resources, s.Bytes, s.Pushes, s.Connects)
	if s.Resources != 0 || s.Removals != 0 || s.Nacks != 0 {
		t.Errorf("sent again what was there: %+v", s)
		for _, p := range m.Controller().Server().Proxies() {
			d, err := m.Controller().Server().Proxy(p.ID)
			t.Logf("%+v %v", d, err)
		}
	}
	if after := m.Proxy(web); len(after.Resources) != len(before.Resources) {
		t.Errorf("web's sidecar holds %d resources, it held %d", len(after.Resources), len(before.Resources))
	}
	if now := serialOf(t, m, pods[0].Pod); now != serial {
		t.Errorf("a new certificate at a restart: %s, before %s", now, serial)
	}
	l.mustNotFail("catalog-0", "catalog-1")
	held.mustNotFail()
}

func serialOf(t *testing.T, m *meshtest.Mesh, p *meshtest.Pod) string {
	t.Helper()
	c, err := leafOf(m, p)
	if err != nil {
		t.Fatal(err)
	}
	return c.SerialNumber.Text(16)
}

// A control plane that is killed and stays away for seconds costs no request
// either. A pod that goes meanwhile costs nothing, for its callers find out by
// themselves; a pod that came meanwhile is called when the control plane is back.
func TestControlPlaneIsKilled(t *testing.T) {
	t.Parallel()
	m, pods, web, address := outageMesh(t)
	m.Stop()
	process := m.StartProcess()
	connected := func(want int) {
		t.Helper()
		m.Eventually("the sidecars are connected", func() error {
			text, err := m.Debug("/v1/status")
			if err == nil && !strings.Contains(string(text), fmt.Sprintf(`"synced":%d`, want)) {
				err = fmt.Errorf("%s", text)
			}
			return err
		})
	}
	connected(3)
	l := startLoads(t, web, address)
	l.more(5)
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	down := time.Now()
	l.more(10)

	// The app finishes what it has, the sidecar ends, the address is nobody's. What
	// was on its way at these moments is lost: there is nobody to tell the callers.
	gone := pods[0]
	gone.Forget()
	gone.drain(t, l)()
	if err := gone.Envoy.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := gone.Delete(); err != nil {
		t.Fatal(err)
	}
	web.More(l.list[0], 100) // the others have calls that wait for an answer from that address
	m.Eventually("three seconds without it", func() error {
		if d := time.Since(down); d < 3*time.Second {
			return errors.New(d.String())
		}
		return nil
	})
	atMost := failuresOf(l)
	for i, n := range atMost {
		if bound := inFlight[l.names[i]]; n > bound {
			t.Errorf("%s: %d failed, more than were under way: %q", l.names[i], n, l.list[i].Failures())
		}
	}
	if err := process.Restart(); err != nil {
		t.Fatal(err)
	}
	m.WaitServing(process)
	t.Logf("down for %s", time.Since(down))
	connected(2)
	growCatalog(t, m, "catalog-2")
	m.Eventually("the new pod is called", func() error {
		_, _, answers := l.list[0].Counts()
		if answers["catalog-2"] == 0 {
			return fmt.Errorf("%v", answers)
		}
		return nil
	})
	l.more(10)
	if after := failuresOf(l); !slices.Equal(after, atMost) {
		t.Errorf("failures when it was back: %v, then %v", atMost, after)
	}
	l.report()
}

// Without the control plane, a destination that was never called before is answered
// within a bounded time, clearly, and a pod that starts is not ready, however long
// that lasts: its sidecar knows nothing yet. Nobody else notices. When the control
// plane is back both work, and no call waits again.
func TestWhatIsNewWaitsForControlPlane(t *testing.T) {
	t.Parallel()
	m, _, web, address := outageMesh(t)
	load := web.StartLoad(address, 2)
	web.More(load, 10)
	urls := []string{m.Service("shop", "new-0").String(), m.Service("shop", "new-1").String(), m.Service("shop", "new-2").String()}
	late := m.PodWithoutSidecar(podSpec("shop", "late"))
	late.Token()
	m.Stop()
	late.StartEnvoy()

	var wg sync.WaitGroup
	wg.Go(func() {
		start := time.Now()
		r, err := web.Do(urls[0], meshtest.Request{})
		took := time.Since(start)
		t.Logf("first call: %d %q after %s", r.Status, r.Body, took)
		if err != nil || r.Status != http.StatusServiceUnavailable || !strings.Contains(string(r.Body), "control plane has not answered") || took < 4*time.Second || took > 8*time.Second {
			t.Errorf("first call: %d after %s, err %v; want 503 after about 5 s", r.Status, took, err)
		}
	})
	wg.Go(func() {
		start := time.Now()
		_, err := talkOn(web, urls[1])
		t.Logf("first TCP connection: %v after %s", err, time.Since(start))
		if d := time.Since(start); err == nil || d > 8*time.Second {
			t.Errorf("first TCP connection: %v after %s; want its end after about 5 s", err, d)
		}
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-time.After(50 * time.Millisecond):
		}
		if body, err := late.Envoy.Admin(t.Context(), "/ready"); err == nil {
			t.Fatalf("the new pod is ready without the control plane: %s", body)
		}
	}

	m.Start()
	back := time.Now()
	late.WaitReady()
	t.Logf("the new pod is ready after %s", time.Since(back))
	late.Redirect()
	if r := late.Ask(t, address, plainGet); r.Caller() != late.ID() {
		t.Errorf("the app was told of %q", r.Caller())
	}
	m.Eventually("the sidecar is back", func() error {
		for _, p := range m.Controller().Server().Proxies() {
			if p.Pod == web.Key() && p.Synced {
				return nil
			}
		}
		return errors.New("not yet")
	})
	t.Logf("the calling sidecar is back after %s", time.Since(back))
	for _, url := range append(urls, urls...) {
		start := time.Now()
		r, err := web.Do(url, meshtest.Request{})
		if err != nil || r.Status != http.StatusOK || time.Since(start) > 2*time.Second {
			t.Errorf("%s: %d %s after %s, err %v", url, r.Status, r.Body, time.Since(start), err)
		}
		if pod, err := talkOn(web, url); err != nil {
			t.Errorf("%s by TCP: %s %v", url, pod, err)
		}
	}
	web.MustNotFail(load)
}

// A sidecar that is killed fails what its own pod had under way and what it calls
// until the kubelet has it back; other pods' calls go on, and calls to its pod go to
// others.
func TestSidecarIsKilled(t *testing.T) {
	t.Parallel()
	m, pods, web, address := outageMesh(t)
	l := startLoads(t, web, address)
	l.more(10)
	victim := pods[0]
	if err := victim.Envoy.Kill(); err != nil {
		t.Fatal(err)
	}
	l.more(10)
	before := failuresOf(l)
	for i, n := range before {
		if bound := inFlight[l.names[i]]; n > bound {
			t.Errorf("%s: %d failed, more than were under way: %q", l.names[i], n, l.list[i].Failures())
		}
	}
	l.more(10)
	if err := victim.Envoy.Restart(); err != nil {
		t.Fatal(err)
	}
	victim.WaitReady()
	if pod, err := talkOn(m.Pod(podSpec("shop", "other")), victim.Address().String()); err != nil || pod != victim.Spec.Name {
		t.Errorf("after the restart it is not well: %q %v", pod, err)
	}
	l.more(10)
	if after := failuresOf(l); !slices.Equal(after, before) {
		t.Errorf("failures go on: %v, then %v", before, after)
	}
	l.report()

	// The caller's own sidecar: its calls fail until it is back, then all is as before.
	load := web.StartLoad(address, 2)
	web.More(load, 10)
	if err := web.Envoy.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if err := web.Envoy.Restart(); err != nil {
		t.Fatal(err)
	}
	web.WaitReady()
	ready := time.Since(killed)
	web.More(load, 10)
	failed := len(load.Failures())
	web.More(load, 100)
	total, failures := load.Stop()
	t.Logf("the caller's own: ready again after %s, %d of %d calls failed", ready, len(failures), total)
	if len(failures) != failed {
		t.Errorf("failures after it was ready: %s", failures[len(failures)-1])
	}
}

// A sidecar that hangs is cut off and named; the others get their changes as ever,
// and a roll-out waits for it no longer than that. When it wakes up it comes back
// and has what it missed.
func TestSidecarHangs(t *testing.T) {
	t.Parallel()
	m, pods, web, address := outageMesh(t)
	web2 := m.Pod(podSpec("shop", "web2"))
	for _, p := range []*meshtest.Pod{web, web2} {
		p.Get(address)
	}
	load := web2.StartLoad(address, 2)
	if err := web.Envoy.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { web.Envoy.Signal(syscall.SIGCONT) }) //nolint:errcheck // it may have been killed
	start := time.Now()
	m.Apply("rules", route("catalog", "catalog", "- filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-rule, value: new}]}}]\n  backendRefs: [{name: catalog, port: 80}]"))
	rule := func(p *meshtest.Pod) error {
		r, err := p.Do(address, plainGet)
		if err == nil && r.Header.Get("x-rule") != "new" {
			err = errors.New("the old rule")
		}
		return err
	}
	m.Eventually("the other caller has the rule", func() error { return rule(web2) })
	others := time.Since(start)
	m.Eventually("it is named", func() error {
		for _, p := range m.Controller().Server().Proxies() {
			if p.Pod == web.Key() && !p.Synced {
				return nil
			}
		}
		return errors.New("in sync, or gone")
	})
	m.Eventually("it is cut off", func() error {
		if n := m.Controller().Server().Stats().StalledCut; n != 1 {
			return fmt.Errorf("%d cut", n)
		}
		return nil
	})
	t.Logf("the other caller had the rule after %s, the hanging one was cut off after %s", others, time.Since(start))
	if d := time.Since(start); d < 5*time.Second || d > 30*time.Second {
		t.Errorf("cut off after %s", d)
	}
	if log := m.Log(); !strings.Contains(log, "cut off") || !strings.Contains(log, "client="+web.Key()) {
		t.Error("the log does not name it")
	}
	m.Connected(web2, pods[0].Pod, pods[1].Pod)
	m.AckedKeys(ads.Key{Type: ads.VirtualHost, Name: "outbound/" + address + ":80", Variant: "shop"}) // does not wait for it
	if err := web.Envoy.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	woke := time.Now()
	m.Connected(web, web2, pods[0].Pod, pods[1].Pod)
	if err := rule(web); err != nil {
		t.Error(err)
	}
	t.Logf("back in sync %s after it woke up", time.Since(woke))
	web2.MustNotFail(load)
}

// A new replica of a workload gets at once what the others use: its first calls do
// not wait, not even without the control plane.
func TestLearnedScope(t *testing.T) {
	t.Parallel()
	m, _, _, _ := outageMesh(t)
	replica := func(name string) lab.PodSpec {
		return lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: "front", Labels: map[string]string{"app": "front"}, Meshed: true}
	}
	m.Apply("front", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: front, namespace: shop}
spec:
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec: {serviceAccountName: front, containers: [{name: front, image: front}]}
`)
	m.Apply("rules", route("rules", "new-1", "- filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-rule, value: on-rule}]}}]\n  backendRefs: [{name: catalog, port: 80}]"))
	first := m.Pod(replica("front-1"))
	used := []string{m.Service("shop", "catalog").String(), m.Service("shop", "new-1").String()}
	for _, url := range used {
		first.Ask(t, url, plainGet)
		if _, err := talkOn(first, url); err != nil {
			t.Fatal(err)
		}
	}
	second := m.Pod(replica("front-2"))
	m.InSync()
	m.Stop() // what it does not have now, it cannot get
	for _, url := range used {
		start := time.Now()
		r := second.Ask(t, url, plainGet)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the first call to %s took %s", url, d)
		}
		if url == used[1] && r.Header.Get("x-rule") != "on-rule" {
			t.Errorf("%s: no rule: %v", url, r.Header)
		}
		if _, err := talkOn(second, url); err != nil {
			t.Errorf("the first TCP connection to %s: %v", url, err)
		}
	}
}
