package controller

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestOptionsNameWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"no folder", Options{StateDir: "s"}, "--manifests is not set"},
		{"no state", Options{Manifests: "m"}, "--state-dir is not set"},
		{"debug for everyone", Options{Manifests: "m", StateDir: "s", DebugAddress: "0.0.0.0:15014"}, "is not on loopback"},
		{"debug for everyone, short", Options{Manifests: "m", StateDir: "s", DebugAddress: ":15014"}, "is not on loopback"},
		{"debug without a port", Options{Manifests: "m", StateDir: "s", DebugAddress: "127.0.0.1"}, "missing port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.o.withDefaults(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	for _, address := range []string{"", "127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/x"} {
		if _, err := (Options{Manifests: "m", StateDir: "s", DebugAddress: address}).withDefaults(); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The socket is its owner's from the first moment, survives a killed process,
// and is not taken away from a living one.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "debug.sock")
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s, want 0600", info.Mode())
	}
	if _, err := listenUnix(path); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("a second listener: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as SIGKILL leaves it
	l.Close()
	l, err = listenUnix(path)
	if err != nil {
		t.Fatalf("after a kill: %v", err)
	}
	l.Close()
}

// A whole control plane comes up, answers on its debug listener only to this
// machine, says what is wrong with the manifests, and ends without leaving
// anything running.
func TestControllerRuns(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	manifest := "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: [{port: 80}]}\n"
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	xdsListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	debugListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{
		Manifests: dir, StateDir: filepath.Join(t.TempDir(), "state"),
		XDSListener: xdsListener, DebugListener: debugListener, DrainWindow: time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	get := func(host, path string) (int, string) {
		req, err := http.NewRequest(http.MethodGet, "http://"+debugListener.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	code, body := get("localhost", "/v1/status")
	var s Status
	if err := json.Unmarshal([]byte(body), &s); code != http.StatusOK || err != nil {
		t.Fatalf("status: %d %s, %v", code, body, err)
	}
	if len(s.Problems) > 1 || s.Roots != 1 {
		t.Errorf("status: %s", body)
	}
	// A broken manifest at the start: it is said, and nothing is served that would take
	// from sidecars what they have.
	until := time.Now().Add(20 * time.Second)
	for !strings.Contains(body, "prots") {
		if time.Now().After(until) {
			t.Fatalf("the broken manifest is not reported: %s", body)
		}
		_, body = get("localhost", "/v1/status")
	}
	if strings.Contains(body, `"serving":true`) {
		t.Errorf("serves with a broken manifest: %s", body)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(strings.ReplaceAll(manifest, "prots", "ports")), 0o644); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(body, `"serving":true`) {
		if time.Now().After(until) {
			t.Fatalf("does not serve after the mending: %s", body)
		}
		_, body = get("localhost", "/v1/status")
	}
	if code, _ := get("rebound.example.com", "/v1/status"); code != http.StatusForbidden {
		t.Errorf("another site's name is answered with %d", code)
	}
	if code, body := get("127.0.0.1", "/v1/proxies/shop/web"); code != http.StatusNotFound || !strings.Contains(body, "shop/web") {
		t.Errorf("an unknown proxy: %d %s", code, body)
	}
	if _, body := get("127.0.0.1", "/metrics"); !strings.Contains(body, "fairlead_xds_proxies 0") {
		t.Error("metrics lack the number of proxies")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
