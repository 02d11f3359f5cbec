package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/lab"
)

// asProgram makes the test binary be fairlead-redirect.
const asProgram = "FAIRLEAD_REDIRECT_AS_PROGRAM=1"

func TestMain(m *testing.M) {
	name, value, _ := strings.Cut(asProgram, "=")
	if os.Getenv(name) == value {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPrint(t *testing.T) {
	for _, c := range []struct {
		args string
		want redirect.Options
		err  string
	}{
		{args: ""},
		{
			args: "--proxy-uid 1 --proxy-gid 2 --inbound-port 3 --outbound-port 4 --exclude-inbound-ports 5,6 --exclude-inbound-ports 7 --exclude-outbound-ports 8 --exclude-outbound-cidrs 10.0.0.0/8,fd00::1 --include-outbound-cidrs 10.1.0.0/16",
			want: redirect.Options{
				ProxyUID: 1, ProxyGID: 2, InboundPort: 3, OutboundPort: 4,
				ExcludeInboundPorts: []uint16{5, 6, 7}, ExcludeOutboundPorts: []uint16{8},
				ExcludeOutbound: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::1/128")},
				IncludeOutbound: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			},
		},
		{args: "--exclude-inbound-ports http", err: `--exclude-inbound-ports: "http" is no port`},
		{args: "--exclude-outbound-ports 0", err: `--exclude-outbound-ports: "0" is no port`},
		{args: "--exclude-outbound-cidrs 10", err: `--exclude-outbound-cidrs: "10" is no range`},
		{args: "--include-outbound-cidrs fe80::1%eth0", err: `--include-outbound-cidrs: "fe80::1%eth0" is no range`},
		{args: "--inbound-port 15001", err: "both 15001"},
		{args: "--remove", err: "none of the others can be"},
		{args: "more", err: "unknown command"},
	} {
		t.Run(c.args, func(t *testing.T) {
			command, out := newCommand(), &bytes.Buffer{}
			command.SetOut(out)
			command.SetArgs(append(strings.Fields(c.args), "--print"))
			err := command.ExecuteContext(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, it should hold %q", err, c.err)
				}
				return
			}
			plan, planErr := redirect.MakePlan(c.want)
			if err != nil || planErr != nil {
				t.Fatal(err, planErr)
			}
			if diff := cmp.Diff(plan.String(), out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWaitReady(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" || asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	if err := waitReady(t.Context(), server.URL+"/ready", time.Minute); err != nil || asked.Load() != 3 {
		t.Errorf("asked %d times, want 3; error %v", asked.Load(), err)
	}
	err := waitReady(t.Context(), server.URL+"/never", 300*time.Millisecond)
	for _, part := range []string{"waited for 300ms", "503", "fairlead-proxy"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error should hold %q: %v", part, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waitReady(ended, server.URL+"/never", 0); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("the error should say that it was cancelled: %v", err)
	}
	if err := waitReady(t.Context(), "://", 0); err == nil || !strings.Contains(err.Error(), "--ready-url") {
		t.Errorf("the error should name the flag: %v", err)
	}
}

// In a pod: nothing changes until the sidecar is ready; then the rules are there.
func TestInPod(t *testing.T) {
	lab.RequireRoot(t)
	l, err := lab.New(t.Context(), lab.Options{Name: "init"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	pod, err := l.AddPod(lab.PodSpec{Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	asked, ready := make(chan struct{}, 1), atomic.Bool{}
	listener, err := pod.Listen("tcp", "127.0.0.1:15021")
	if err != nil {
		t.Fatal(err)
	}
	sidecar := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		select {
		case asked <- struct{}{}:
		default:
		}
	})}
	go sidecar.Serve(listener)
	defer sidecar.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	run := func(args ...string) *lab.Process {
		t.Helper()
		p, err := pod.Start(lab.ProcessSpec{Name: "init", Args: append([]string{os.Args[0]}, args...), Env: []string{asProgram}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	rules := func() string {
		t.Helper()
		p, err := pod.Start(lab.ProcessSpec{Name: "nft" + time.Now().Format("150405.000000"), Args: []string{"nft", "list", "ruleset"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(ctx); err != nil {
			t.Fatal(err, p.Logs())
		}
		return p.Logs()
	}
	process := run("--wait-timeout", "20s")
	<-asked
	if got := rules(); got != "" {
		t.Errorf("rules before the sidecar is ready:\n%s", got)
	}
	ready.Store(true)
	if err := process.Wait(ctx); err != nil {
		t.Fatalf("%v\n%s", err, process.Logs())
	}
	if got := rules(); !strings.Contains(got, "redirect to :15001") {
		t.Errorf("no rules after the sidecar is ready:\n%s", got)
	}
	if err := run("--remove").Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if got := rules(); got != "" {
		t.Errorf("rules after --remove:\n%s", got)
	}
	ready.Store(false)
	if err := run("--no-wait").Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if got := rules(); !strings.Contains(got, "redirect to :15006") {
		t.Errorf("no rules after --no-wait:\n%s", got)
	}
}
