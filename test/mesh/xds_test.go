package mesh_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
	"github.com/fairlead/fairlead/xds/ads"
)

// saying is a rule that says something in each answer.
func saying(text string) string {
	return `- filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-rule, value: "` + text + `"}]}}]
  backendRefs: [{name: own, port: 80}]`
}

// rulesOf is the key of a Service's rules for callers in namespace shop.
func rulesOf(m *meshtest.Mesh, service string) ads.Key {
	return ads.Key{Type: ads.VirtualHost, Name: "outbound/" + m.Service("shop", service).String() + ":80", Variant: "shop"}
}

// editRules writes a rule and waits until the control plane has made the new
// virtual host. It returns how long that took.
func editRules(m *meshtest.Mesh, service, rules string) time.Duration {
	key := rulesOf(m, service)
	before := m.Controller().Server().Rollout(key).Version
	start := time.Now()
	m.Apply("rules-"+service, route(service, service, rules))
	m.Eventually("the control plane has the edit", func() error {
		if m.Controller().Server().Rollout(key).Version == before {
			return errors.New("not yet")
		}
		return nil
	})
	return time.Since(start)
}

// When the control plane says that every sidecar has acknowledged a rule, each one's
// very next request follows it: fifty times, from three pods.
func TestAcknowledgedMeansInForce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Apply("busy", service("busy", "own"))
	callers := []*meshtest.Pod{s.web, s.Pod(podSpec("shop", "web2")), s.Pod(podSpec("shop", "web3"))}
	url := s.Service("shop", "busy").String()
	key := rulesOf(s.Mesh, "busy")
	var clients []*http.Client
	for _, p := range callers {
		c := p.Client()
		t.Cleanup(c.CloseIdleConnections)
		clients = append(clients, c)
		if r, err := meshtest.Do(t.Context(), c, url, plainGet); err != nil || r.Status != http.StatusOK {
			t.Fatalf("%d %v", r.Status, err)
		}
	}
	var load []*meshtest.Load
	for _, p := range callers {
		load = append(load, p.StartLoad(url, 1))
	}
	const edits = 50
	var stale []string
	var made, acked []time.Duration
	for i := range edits {
		text := fmt.Sprint("edit ", i)
		start := time.Now()
		made = append(made, editRules(s.Mesh, "busy", saying(text)))
		s.AckedKeys(key)
		acked = append(acked, time.Since(start))
		got := make([]string, len(clients))
		var wg sync.WaitGroup
		for j, c := range clients {
			wg.Go(func() {
				r, err := meshtest.Do(t.Context(), c, url, plainGet)
				got[j] = fmt.Sprint(r.Header.Get("x-rule"), err)
			})
		}
		wg.Wait()
		for j, g := range got {
			if g != text+"<nil>" {
				stale = append(stale, fmt.Sprintf("%s after edit %d: %s", callers[j].Spec.Name, i, g))
			}
		}
	}
	slices.Sort(made)
	slices.Sort(acked)
	t.Logf("file to virtual host: median %s, worst %s; file to the last of 3 ACKs: median %s, worst %s",
		made[edits/2], made[edits-1], acked[edits/2], acked[edits-1])
	if len(stale) > 0 {
		t.Errorf("%d of %d requests followed an old rule: %q", len(stale), edits*len(callers), stale)
	}
	for i, p := range callers {
		p.MustNotFail(load[i])
	}
}

// A rule that Envoy does not take, although nothing was wrong with it as a manifest,
// changes nothing: what held before goes on to hold, for old and new pods; it is
// reported; everybody else gets their changes; and a better one heals it. Once a
// second pod has rejected it, it is sent to nobody.
func TestRejectedRuleIsQuarantined(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Apply("services", join(service("busy", "own"), service("other", "own")))
	s.Apply("rules-busy", route("busy", "busy", saying("good")))
	s.Apply("rules-other", route("other", "other", saying("first")))
	busy, other := s.Service("shop", "busy").String(), s.Service("shop", "other").String()
	web2 := s.Pod(podSpec("shop", "web2"))
	rule := func(p *meshtest.Pod, url, want string) error {
		r, err := p.Do(url, plainGet)
		if err == nil && r.Header.Get("x-rule") != want {
			err = fmt.Errorf("%d, rule %q, want %q", r.Status, r.Header.Get("x-rule"), want)
		}
		return err
	}
	for _, p := range []*meshtest.Pod{s.web, web2} {
		s.Eventually("the rules", func() error { return errors.Join(rule(p, busy, "good"), rule(p, other, "first")) })
	}
	load := s.web.StartLoad(busy, 2)

	// Go knows the scripts of Unicode 17, RE2 in Envoy 1.40 those of Unicode 15.
	editRules(s.Mesh, "busy", `- matches: [{path: {type: RegularExpression, value: '/\p{Garay}+'}}]
  backendRefs: [{name: v1, port: 80}]`)
	s.Eventually("it is rejected", func() error {
		if !s.Controller().Server().Rollout(rulesOf(s.Mesh, "busy")).Quarantined {
			return errors.New("not yet")
		}
		return nil
	})
	name := rulesOf(s.Mesh, "busy").Name
	for _, p := range []*meshtest.Pod{s.web, web2} {
		d := s.Proxy(p)
		i := slices.IndexFunc(d.Resources, func(r ads.ResourceStatus) bool { return r.Name == name })
		if i < 0 || !d.Rejects {
			t.Fatalf("the status does not name it: %+v", d)
		}
		r := d.Resources[i]
		t.Logf("%s: %s", d.Pod, r.Reason)
		if !r.Quarantined || r.Rejected != r.Version || !strings.Contains(r.Reason, "Garay") || r.Acked == r.Version {
			t.Errorf("%s: %+v", d.Pod, r)
		}
	}
	if !strings.Contains(s.Log(), name) || !strings.Contains(s.Log(), "rejected") {
		t.Error("the log does not name it")
	}
	late := s.Pod(podSpec("shop", "late"))
	callers := []*meshtest.Pod{s.web, web2, late}
	for _, p := range callers {
		if err := rule(p, busy, "good"); err != nil {
			t.Errorf("%s: the rule before it: %v", p.Key(), err)
		}
	}
	editRules(s.Mesh, "other", saying("second"))
	for _, p := range callers {
		s.Eventually("another Service's rule", func() error { return rule(p, other, "second") })
	}
	editRules(s.Mesh, "busy", saying("better"))
	for _, p := range callers {
		s.Eventually("the better rule", func() error { return rule(p, busy, "better") })
	}
	if d := s.Proxy(s.web); d.Rejects {
		t.Errorf("still reported: %+v", d.ProxyStatus)
	}
	if n := s.Controller().Server().Stats(); n.Quarantined != 1 {
		t.Errorf("%+v", n)
	}
	s.web.MustNotFail(load)
}

// An edit of a file takes effect at once. A file that cannot be read or understood
// changes nothing, under load, and is reported until it is mended.
func TestBrokenManifestKeepsLastGoodState(t *testing.T) {
	t.Parallel()
	s := &shop{Mesh: meshtest.New(t, meshtest.WithDebug), t: t, apps: map[string]*meshtest.App{}}
	s.Apply("apps", join(service("own", "own"), service("v1", "v1"), service("busy", "own")))
	s.pod, s.web = s.Pod(podSpec("shop", "apps")), s.Pod(podSpec("shop", "web"))
	s.pod.Serve(appPorts["own"], echo("own"))
	s.pod.Serve(appPorts["v1"], echo("v1"))
	url := s.Service("shop", "busy").String()
	s.Apply("rules", route("busy", "busy", saying("good")))
	var last time.Time
	seen := func(want string) time.Duration {
		t.Helper()
		last = time.Now()
		s.Eventually("rule "+want, func() error {
			r, err := s.web.Do(url, plainGet)
			if err == nil && r.Header.Get("x-rule") != want {
				err = fmt.Errorf("%d, rule %q", r.Status, r.Header.Get("x-rule"))
			}
			return err
		})
		return time.Since(last)
	}
	seen("good")
	load := s.web.StartLoad(url, 3)
	var took []time.Duration
	for i := range 10 {
		s.Apply("rules", route("busy", "busy", saying(fmt.Sprint(i))))
		took = append(took, seen(fmt.Sprint(i)))
	}
	slices.Sort(took)
	t.Logf("from the file to the caller: median %s, worst %s", took[5], took[9])
	if took[5] > 2*time.Second {
		t.Errorf("an edit took %s", took[5])
	}

	problems := func() []string {
		var status controller.Status
		text, err := s.Debug("/v1/status")
		if err == nil {
			err = json.Unmarshal(text, &status)
		}
		if err != nil {
			t.Fatal(err)
		}
		return status.Problems
	}
	for _, c := range []struct{ name, text, says string }{
		{"no YAML", "kind: [", "did not find expected node"},
		{"half a file", route("busy", "busy", saying("new"))[:60], "could not find expected ':'"},
		{"a wrong type", route("busy", "busy", saying("new")+"\n  timeouts: 5"), "spec.rules[0].timeouts"},
		{"binary", "\x00\x01\x02\xff", "control characters"},
	} {
		s.Apply("rules", c.text)
		s.Eventually(c.name+" is reported", func() error {
			for _, p := range problems() {
				if strings.Contains(p, "rules.yaml:") && strings.Contains(p, c.says) {
					t.Logf("%s: %s", c.name, p)
					return nil
				}
			}
			return fmt.Errorf("%q", problems())
		})
		seen("9")
		s.web.More(load, 20)
	}
	s.Apply("rules", route("busy", "busy", saying("mended")))
	seen("mended")
	s.Eventually("nothing is reported any more", func() error {
		if p := problems(); len(p) > 0 {
			return fmt.Errorf("%q", p)
		}
		return nil
	})
	s.web.MustNotFail(load)
}

// Private keys and tokens are seen by the pods that they are for and by nobody else:
// they are in no log, no dump and no page of the debug listener.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, meshtest.WithDebug, shortLeaves(4*time.Second))
	m.Apply("catalog", catalogService)
	catalog := growCatalog(t, m, "catalog-0")
	web := m.Pod(podSpec("shop", "web"))
	address := m.Service("shop", "catalog").String()
	web.Ask(t, address, plainGet)
	if _, err := talkOn(web, address); err != nil {
		t.Fatal(err)
	}
	first := serialOf(t, m, web)
	m.Eventually("a renewal", func() error {
		if serialOf(t, m, web) == first {
			return errors.New("not yet")
		}
		return nil
	})
	m.Stop()
	m.Start()
	m.Connected(web, catalog.Pod)

	texts := map[string]string{"the log": m.Log()}
	get := func(path string) {
		t.Helper()
		text, err := m.Debug(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		texts["debug "+path] = string(text)
	}
	for _, path := range []string{"/metrics", "/v1/status", "/v1/proxies"} {
		get(path)
	}
	for _, p := range []*meshtest.Pod{web, catalog.Pod} {
		get("/v1/proxies/" + p.Key())
		get("/v1/proxies/" + p.Key() + "/config")
		texts["the log of the sidecar of "+p.Key()] = p.Envoy.Logs()
		for _, path := range []string{"/config_dump?include_eds", "/certs", "/clusters", "/server_info", "/stats"} {
			text, err := p.Envoy.Admin(t.Context(), path)
			if err != nil {
				t.Errorf("%s of %s: %v", path, p.Key(), err)
			}
			texts[path+" of "+p.Key()] = string(text)
		}
	}
	if config := texts["debug /v1/proxies/shop/web/config"]; !strings.Contains(config, `"default"`) || !strings.Contains(config, "shop/catalog:80") {
		t.Errorf("the config is none: %.500s", config)
	}

	secrets := map[string]string{}
	for _, file := range []string{"issuer/issuer.key", "ca/ca.pem"} {
		text, err := os.ReadFile(filepath.Join(m.Options.StateDir, file))
		if err != nil {
			t.Fatal(err)
		}
		secrets[file] = strings.Split(string(text), "\n")[1] // the first line of the key
	}
	for _, p := range []*meshtest.Pod{web, catalog.Pod} {
		secrets["token of "+p.Key()] = p.Token()
		secrets["signature of the token of "+p.Key()] = strings.Split(p.Token(), ".")[2]
	}
	for where, text := range texts {
		if len(text) == 0 {
			t.Errorf("%s is empty", where)
		}
		for what, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s", where, what)
			}
		}
		for _, mark := range []string{"PRIVATE KEY", base64.StdEncoding.EncodeToString([]byte("-----BEGIN PRIVATE KEY"))[:24], "Bearer ey"} {
			if strings.Contains(text, mark) {
				t.Errorf("%s holds %q", where, mark)
			}
		}
	}

	// On disk nobody else may read them.
	for _, file := range []string{"issuer/issuer.key", "ca/ca.pem"} {
		info, err := os.Stat(filepath.Join(m.Options.StateDir, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	if info, err := os.Stat(web.Volume()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the pod's folder: %v %v", info.Mode(), err)
	}
}
