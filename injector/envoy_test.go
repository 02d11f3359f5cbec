package injector_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/internal/lab"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// configDir makes what the projected volume holds, as the kubelet does: the files
// in a folder of their own, behind the link ..data, which a swap replaces.
func configDir(t *testing.T, l *lab.Lab, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(l.Dir(), name)
	swap(t, dir, files)
	for file := range files {
		if err := os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// swap replaces all files of such a folder at once.
func swap(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o755))
	version := fmt.Sprintf("..%d", time.Now().UnixNano())
	check(os.Mkdir(filepath.Join(dir, version), 0o755))
	for file, text := range files {
		check(os.WriteFile(filepath.Join(dir, version, file), []byte(text), 0o644))
	}
	check(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	check(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
}

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	lab.RequireRoot(t)
	l, err := lab.New(t.Context(), lab.Options{Name: "injector", IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// The text as it is, with the kubelet's variables in it, is accepted.
func TestEnvoyAcceptsTheBootstrap(t *testing.T) {
	envoy, err := lab.EnvoyPath()
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	ca := newCA(t)
	for name, o := range map[string]injector.BootstrapOptions{
		"for the kubelet":   {},
		"for both families": {IPv6: true},
		"by value":          {PodName: "123", PodNamespace: "null", PodUID: "1e3", NodeName: "~", ControlPlane: "10.244.0.1:15012", ControlPlaneName: "fairlead"},
	} {
		t.Run(name, func(t *testing.T) {
			o.ConfigDir = filepath.Join(l.Dir(), strings.ReplaceAll(name, " ", "-"))
			configDir(t, l, filepath.Base(o.ConfigDir), volume(o.ConfigDir, "t", ca))
			text, err := injector.Bootstrap(o)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(within(t, 30*time.Second), envoy, "--mode", "validate", "--config-yaml", string(text)).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func volume(dir, token string, ca *authority) map[string]string {
	return map[string]string{
		injector.TokenFile: token, injector.RootFile: ca.pem,
		injector.TokenSDSFile: string(injector.TokenSDS(dir)), injector.RootSDSFile: string(injector.RootSDS(dir)),
	}
}

// The life of a sidecar: not ready without a control plane; ready once that has
// answered; each stream carries the token of its time.
func TestSidecarAndControlPlane(t *testing.T) {
	l := newLab(t)
	pod, err := l.AddPod(lab.PodSpec{Namespace: "shop", Name: "web-1"})
	if err != nil {
		t.Fatal(err)
	}
	ca := newCA(t)
	dir := configDir(t, l, "volume", volume(filepath.Join(l.Dir(), "volume"), "token-1", ca))
	text, err := injector.Bootstrap(injector.BootstrapOptions{
		PodName: "web-1", PodNamespace: "shop", PodUID: pod.UID, NodeName: "lab",
		ControlPlane: "fairlead.fairlead-system.svc.cluster.local:15012", ConfigDir: dir, IPv6: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetHost("fairlead.fairlead-system.svc.cluster.local", l.NodeAddresses()...); err != nil {
		t.Fatal(err)
	}
	envoy, err := pod.StartEnvoy(lab.EnvoyOptions{Bootstrap: text})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", envoy.Logs())
		}
	})
	client := pod.HTTPClient()
	health := func() int {
		return statusOf(t, client, http.MethodGet, fmt.Sprintf("http://%s:15021/ready", pod.Address()))
	}

	// An impostor: the right root, another name.
	impostor := serveADS(t, l, ca, "impostor")
	eventually(t, "the impostor's certificate is refused", func() bool {
		n, err := envoy.Stat(t.Context(), "cluster.xds.ssl.fail_verify_san")
		return err == nil && n > 0
	})
	impostor.stop()
	if s := impostor.seen(); len(s) != 0 {
		t.Fatalf("the impostor got %v", s)
	}
	// Envoy's workers have not started: nobody answers.
	if got := health(); got != 0 {
		t.Fatalf("without a control plane /ready answers %d, want no answer", got)
	}

	server := serveADS(t, l, ca, "fairlead.fairlead-system.svc.cluster.local")
	if err := envoy.WaitReady(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	checkOwnListeners(t, pod, client)
	swap(t, dir, volume(dir, "token-2", ca))
	eventually(t, "the new token is read", func() bool {
		server.endStreams()
		return server.has("Bearer token-2 shop/web-1 " + pod.UID)
	})
	if !server.has("Bearer token-1 shop/web-1 " + pod.UID) {
		t.Errorf("no stream with the first token; seen %v", server.seen())
	}
}

// checkOwnListeners: the admin listener tells and does not obey; the two listeners
// for the outside show one path each, in both families.
func checkOwnListeners(t *testing.T, pod *lab.Pod, client *http.Client) {
	t.Helper()
	pod4, pod6 := pod.Address().String(), "["+pod.Address6().String()+"]"
	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"GET", "http://127.0.0.1:15000/stats?format=json", 200},
		{"GET", "http://127.0.0.1:15000/stats/prometheus", 200},
		{"GET", "http://127.0.0.1:15000/clusters?format=json", 200},
		{"GET", "http://127.0.0.1:15000/listeners", 200},
		{"GET", "http://127.0.0.1:15000/config_dump?include_eds", 200},
		{"GET", "http://127.0.0.1:15000/init_dump", 200},
		{"GET", "http://127.0.0.1:15000/certs", 200},
		{"GET", "http://127.0.0.1:15000/server_info", 200},
		{"GET", "http://127.0.0.1:15000/memory", 200},
		{"GET", "http://127.0.0.1:15000/runtime", 200},
		{"POST", "http://127.0.0.1:15000/quitquitquit", 403},
		{"POST", "http://127.0.0.1:15000/healthcheck/fail", 403},
		{"POST", "http://127.0.0.1:15000/drain_listeners", 403},
		{"POST", "http://127.0.0.1:15000/logging?level=trace", 403},
		{"POST", "http://127.0.0.1:15000/runtime_modify?a=b", 403},
		{"POST", "http://127.0.0.1:15000/reset_counters", 403},
		{"GET", "http://127.0.0.1:15000/stats/recentlookups", 403},
		{"GET", "http://127.0.0.1:15000/", 403},
		{"GET", "http://" + pod4 + ":15090/stats/prometheus", 200},
		{"GET", "http://" + pod6 + ":15090/stats/prometheus?usedonly", 200},
		{"GET", "http://" + pod4 + ":15090/config_dump", 404},
		{"GET", "http://" + pod6 + ":15021/ready", 200},
		{"GET", "http://" + pod4 + ":15021/stats", 404},
		{"GET", "http://" + pod4 + ":15000/ready", 0},
	} {
		if got := statusOf(t, client, c.method, c.url); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.url, got, c.want)
		}
	}
}

// statusOf is that of the answer; 0 if there is none.
func statusOf(t *testing.T, client *http.Client, method, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 5*time.Second), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// eventually asks again and again, 20 s at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}
