package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/lab"
)

// newLab makes a lab that ends with the test.
func newLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	lab.RequireRoot(t)
	l, err := lab.New(t.Context(), o)
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

func addPod(t *testing.T, l *lab.Lab, s lab.PodSpec) *lab.Pod {
	t.Helper()
	p, err := l.AddPod(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// within returns a context for one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// startEcho serves, on port 8080 of all the pod's addresses, what it saw of a request.
func startEcho(t *testing.T, p *lab.Pod) {
	t.Helper()
	listener, err := p.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "from=%s out=%s in=%s", host, r.Header.Get("x-outbound"), r.Header.Get("x-inbound"))
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
}

func startSidecar(t *testing.T, p *lab.Pod) *lab.Envoy {
	t.Helper()
	bootstrap, err := os.ReadFile("testdata/static.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.StartEnvoy(lab.EnvoyOptions{Bootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.WaitReady(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := p.Redirect(redirect.Options{}); err != nil {
		t.Fatal(err)
	}
	return e
}

func get(t *testing.T, c *http.Client, to netip.Addr) string {
	t.Helper()
	url := "http://" + netip.AddrPortFrom(to, 8080).String() + "/"
	req, err := http.NewRequestWithContext(within(t, 10*time.Second), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status + " " + string(body)
}

// Two pods with sidecars and one without: every way between them, in both families.
func TestTrafficThroughTwoSidecars(t *testing.T) {
	l := newLab(t, lab.Options{Name: "two", IPv6: true})
	outside4, outside6 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")
	web := addPod(t, l, lab.PodSpec{Namespace: "shop", Name: "web", Meshed: true})
	catalog := addPod(t, l, lab.PodSpec{Namespace: "shop", Name: "catalog", Meshed: true})
	plain := addPod(t, l, lab.PodSpec{Namespace: "shop", Name: "plain", ExtraAddresses: []netip.Addr{outside4, outside6}})
	for _, p := range []*lab.Pod{web, catalog, plain} {
		startEcho(t, p)
	}
	startSidecar(t, web)
	startSidecar(t, catalog)

	for _, c := range []struct {
		name         string
		from         *lab.Pod
		to           *lab.Pod
		outside      bool
		fromOut, in_ bool
	}{
		{name: "sidecar to sidecar", from: web, to: catalog, fromOut: true, in_: true},
		{name: "sidecar to plain pod", from: web, to: plain, fromOut: true},
		{name: "plain pod to sidecar", from: plain, to: catalog, in_: true},
		{name: "to an outside address", from: web, to: plain, outside: true, fromOut: true},
		{name: "to itself", from: web, to: web},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := c.from.HTTPClient()
			for i := range 2 {
				to, source := c.to.Spec.Addresses[i], c.from.Spec.Addresses[i].String()
				if c.outside {
					to = c.to.Spec.ExtraAddresses[i]
				}
				destination := netip.AddrPortFrom(to, 8080).String()
				want := "200 OK from=" + source + " out= in="
				if c.in_ {
					want = "200 OK from=" + []string{"127.0.0.6", "::6"}[i] + " out= in=" + destination
				}
				if c.fromOut {
					want = strings.Replace(want, "out=", "out="+destination, 1)
				}
				if got := get(t, client, to); got != want {
					t.Errorf("%s\n got %s\nwant %s", to, got, want)
				}
			}
		})
	}
}
