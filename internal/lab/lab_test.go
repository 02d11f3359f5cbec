package lab_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead/fairlead/internal/lab"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// abandon makes the test binary be a program that makes a lab, says its name and is
// killed before it can close it.
var abandon = flag.Bool("abandon", false, "make a lab, print its ID, wait to be killed")

func TestMain(m *testing.M) {
	flag.Parse()
	if *abandon {
		if err := abandonLab(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

func abandonLab() error {
	l, err := lab.New(context.Background(), lab.Options{Name: "abandoned"})
	if err != nil {
		return err
	}
	p, err := l.AddPod(lab.PodSpec{Name: "app"})
	if err != nil {
		return err
	}
	child, err := p.Start(lab.ProcessSpec{Args: []string{"sleep", "1000"}})
	if err != nil {
		return err
	}
	fmt.Println(l.ID(), l.Dir(), child.PID())
	select {}
}

// namespaces of a lab, as "ip netns" would list them.
func namespaces(t *testing.T, id string) []string {
	t.Helper()
	names, err := filepath.Glob("/run/netns/fl-" + id + "-*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t, lab.Options{Name: "close"})
	p := addPod(t, l, lab.PodSpec{Name: "app"})
	if got := len(namespaces(t, l.ID())); got != 2 {
		t.Errorf("%d namespaces, want those of the node and the pod", got)
	}
	child, err := p.Start(lab.ProcessSpec{Args: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := p.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // closing again is no error
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(child.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
	if left := namespaces(t, l.ID()); len(left) != 0 {
		t.Errorf("namespaces left: %v", left)
	}
	if _, err := os.Stat(l.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := l.AddPod(lab.PodSpec{Name: "late"}); err == nil {
		t.Error("a closed lab makes pods")
	}
	if _, err := p.Start(lab.ProcessSpec{Args: []string{"true"}}); err == nil {
		t.Error("a closed lab starts processes")
	}
	if _, err := p.DialContext(t.Context(), "tcp", "127.0.0.1:80"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed lab makes connections: %v", err)
	}
}

// A lab that cannot be made leaves nothing either.
func TestNewFails(t *testing.T) {
	lab.RequireRoot(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := filepath.Glob("/run/fairlead-lab/broken-*")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]lab.Options{
		"a folder that is a file": {Name: "broken", Dir: file},
		"a name with a slash":     {Name: "../broken"},
	} {
		if l, err := lab.New(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
			l.Close()
		}
	}
	after, err := filepath.Glob("/run/fairlead-lab/broken-*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
}

// A killed program's children die with it; its namespaces and files are removed by
// CleanupStale, those of a living lab are not.
func TestCleanupStale(t *testing.T) {
	l := newLab(t, lab.Options{Name: "alive"})
	program, err := l.Node().Start(lab.ProcessSpec{Name: "abandon", Args: []string{os.Args[0], "-abandon"}})
	if err != nil {
		t.Fatal(err)
	}
	var id, dir string
	var child int
	eventually(t, "the other lab is there", func() bool {
		n, _ := fmt.Sscan(program.Logs(), &id, &dir, &child)
		return n == 3
	})
	if err := program.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := len(namespaces(t, id)); got != 2 {
		t.Fatalf("%d namespaces of the other lab, want 2", got)
	}
	eventually(t, "its child is gone", func() bool { return errors.Is(syscall.Kill(child, 0), syscall.ESRCH) })
	if err := lab.CleanupStale(); err != nil {
		t.Fatal(err)
	}
	if left := namespaces(t, id); len(left) != 0 {
		t.Errorf("namespaces left: %v", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if got := len(namespaces(t, l.ID())); got != 1 {
		t.Errorf("the living lab has %d namespaces, want 1", got)
	}
}

func TestProcess(t *testing.T) {
	l := newLab(t, lab.Options{Name: "process"})
	p := addPod(t, l, lab.PodSpec{Namespace: "shop", Name: "app"})
	if err := l.SetHost("catalog.shop", netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")); err != nil {
		t.Fatal(err)
	}
	// Everything a program can see: its namespace, its user, its hosts, its environment.
	script := `echo started $GREETING $(id -u) $(getent hosts catalog.shop | head -1)
		ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*'
		trap 'echo asked to stop; exit 3' TERM
		while :; do sleep 0.01; done`
	process, err := p.Start(lab.ProcessSpec{
		Name: "script", Args: []string{"sh", "-c", script}, UID: 1337, GID: 1337,
		Env: []string{"GREETING=hello", "PATH=" + os.Getenv("PATH")},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has started", func() bool { return strings.Contains(process.Logs(), "inet") })
	want := fmt.Sprintf("started hello 1337 fd00::1 catalog.shop\ninet %s\n", p.Address())
	if got := strings.Join(strings.Fields(process.Logs()), " "); got != strings.Join(strings.Fields(want), " ") {
		t.Errorf("it saw\n%s\nwant\n%s", got, want)
	}
	if err := process.Restart(); err == nil {
		t.Error("a process was started twice")
	}
	if err := process.Stop(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(t.Context()); err == nil || err.Error() != "exit status 3" {
		t.Errorf("it ended with %v, want exit status 3", err)
	}
	first := process.PID()
	if err := process.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has started again", func() bool { return strings.Count(process.Logs(), "inet") == 2 })
	if process.PID() == first {
		t.Error("the restarted process has the pid of the first")
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(t.Context()); err == nil || err.Error() != "signal: killed" {
		t.Errorf("it ended with %v, want signal: killed", err)
	}
	if _, err := p.Start(lab.ProcessSpec{Args: []string{"no-such-program"}}); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("the error should name the program: %v", err)
	}
}

// A deleted pod's address works for the next one at once, though the first one's
// sockets are still open.
func TestAddressChangesHands(t *testing.T) {
	l := newLab(t, lab.Options{Name: "reuse", IPv6: true})
	client := addPod(t, l, lab.PodSpec{Name: "client"})
	first := addPod(t, l, lab.PodSpec{Name: "first"})
	answer := func(p *lab.Pod, text string) {
		t.Helper()
		listener, err := p.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
	}
	ask := func(a netip.Addr) string {
		t.Helper()
		c := client.HTTPClient()
		c.Timeout = 10 * time.Second
		resp, err := c.Get("http://" + netip.AddrPortFrom(a, 80).String())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	answer(first, "first")
	for _, a := range first.Spec.Addresses {
		if got := ask(a); got != "first" {
			t.Fatalf("%s answers %q", a, got)
		}
	}
	if _, err := l.AddPod(lab.PodSpec{Name: "thief", Addresses: first.Spec.Addresses}); err == nil {
		t.Fatal("two pods with one address")
	}
	if _, err := l.AddPod(lab.PodSpec{Name: "first"}); err == nil {
		t.Fatal("two pods with one name")
	}
	for range 2 {
		if err := first.Delete(); err != nil {
			t.Fatal(err)
		}
	}
	second := addPod(t, l, lab.PodSpec{Name: "second", Addresses: first.Spec.Addresses})
	answer(second, "second")
	for _, a := range second.Spec.Addresses {
		if got := ask(a); got != "second" {
			t.Errorf("%s answers %q", a, got)
		}
	}
}

// What an address that nobody has answers, and a name that nobody knows.
func TestNobodyThere(t *testing.T) {
	l := newLab(t, lab.Options{Name: "nobody", IPv6: true})
	p := addPod(t, l, lab.PodSpec{Name: "app"})
	for _, to := range []string{"192.0.2.1:80"} { // over IPv6 it takes a second
		_, err := p.DialContext(within(t, 10*time.Second), "tcp", to)
		if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("%s: %v, want to hear that it is unreachable", to, err)
		}
	}
	var unknown *net.DNSError
	if _, err := p.DialContext(t.Context(), "tcp", "unknown:80"); !errors.As(err, &unknown) {
		t.Errorf("an unknown name: %v", err)
	}
	if err := l.SetHost("app", p.Spec.Addresses...); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		if _, err := p.DialContext(t.Context(), network, "app:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want to be refused", network, err)
		}
	}
	if err := l.SetHost("app"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DialContext(t.Context(), "tcp", "app:1"); !errors.As(err, &unknown) {
		t.Errorf("a forgotten name: %v", err)
	}
}

// A test may fail inside Do without harm to other threads.
func TestDoComesBack(t *testing.T) {
	l := newLab(t, lab.Options{Name: "do"})
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	inside := map[string]bool{}
	for range 50 {
		err := l.Node().Do(func() error {
			there, err := os.Readlink("/proc/thread-self/ns/net")
			inside[there] = true
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if now, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || now != here {
			t.Fatalf("this thread is in %s, want %s; %v", now, here, err)
		}
	}
	if len(inside) != 1 || inside[here] {
		t.Errorf("Do ran in %v, which should be one namespace other than %s", inside, here)
	}
}

func TestManifest(t *testing.T) {
	l := newLab(t, lab.Options{Name: "manifest", IPv6: true})
	p := addPod(t, l, lab.PodSpec{
		Namespace: "shop", Name: "catalog-v1-abc", ServiceAccount: "catalog", Meshed: true,
		Labels: map[string]string{"app": "catalog", "pod-template-hash": "abc"},
		Ports:  map[string]uint16{"http": 8080, "admin": 9000},
		Owner:  &metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "catalog-v1", UID: "7"},
	})
	p.UID = "8a7c0a9e-0000-4000-8000-000000000000"
	dir := t.TempDir()
	file, err := p.WriteManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/pod.yaml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/pod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the manifest differs (-want +got); rewrite it with -update\n%s", diff)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v; want the manifest alone", files, err)
	}
}

// The version is named twice; the script and the package mean the same one.
func TestEnvoyVersion(t *testing.T) {
	script, err := os.ReadFile("../../hack/envoy.sh")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(script), "\nversion="+lab.EnvoyVersion+"\n") {
		t.Errorf("hack/envoy.sh does not fetch version %s", lab.EnvoyVersion)
	}
}

// eventually asks again and again, 20 s at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}
