package redirect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/lab"
)

func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	lab.RequireRoot(t)
	l, err := lab.New(t.Context(), lab.Options{Name: "redirect", IPv6: true})
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

func addPod(t *testing.T, l *lab.Lab, name string, extra ...string) *lab.Pod {
	t.Helper()
	s := lab.PodSpec{Namespace: "test", Name: name}
	for _, a := range extra {
		s.ExtraAddresses = append(s.ExtraAddresses, netip.MustParseAddr(a))
	}
	p, err := l.AddPod(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs a program in the pod, and returns what it says.
func run(t *testing.T, p *lab.Pod, uid uint32, args ...string) string {
	t.Helper()
	process, err := p.Start(lab.ProcessSpec{Args: args, UID: uid, GID: uid, Name: fmt.Sprintf("%s-%d", filepath.Base(args[0]), time.Now().UnixNano())})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := process.Wait(ctx); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, process.Logs())
	}
	return process.Logs()
}

// The text of a plan and what Apply tells the kernel are the same rules: the kernel
// lists the same after either way in.
func TestTextAndKernelAgree(t *testing.T) {
	l := newLab(t)
	p := addPod(t, l, "rules")
	for name, o := range map[string]redirect.Options{
		"defaults": {},
		"everything": {
			ProxyUID: 2000, ProxyGID: 2001, OutboundPort: 16001, InboundPort: 16006,
			ExcludeInboundPorts: []uint16{22}, ExcludeOutboundPorts: []uint16{3306, 25},
			ExcludeOutbound: []netip.Prefix{
				netip.MustParsePrefix("169.254.169.254/32"), netip.MustParsePrefix("192.168.0.0/13"),
				netip.MustParsePrefix("fd00:1::/33"), netip.MustParsePrefix("2001:db8::1/128"),
			},
			IncludeOutbound: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("fd00::/8")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := redirect.MakePlan(o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(l.Dir(), name+".nft")
			if err := os.WriteFile(file, []byte(plan.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			list := func() string { return run(t, p, 0, "nft", "-y", "list", "ruleset") }
			if err := p.Do(redirect.Remove); err != nil {
				t.Fatal(err)
			}
			if got := list(); got != "" {
				t.Fatalf("Remove left\n%s", got)
			}
			run(t, p, 0, "nft", "-f", file)
			byText := list()
			for range 2 { // applying again changes nothing
				if err := p.Do(plan.Apply); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(byText, list()); diff != "" {
					t.Fatalf("-by the text +by Apply\n%s", diff)
				}
			}
		})
	}
}

// serve answers every connection to the pod's port with name and the address that
// the connection was accepted on, then sends back what comes.
func serve(t *testing.T, p *lab.Pod, port int, name string) {
	t.Helper()
	listener, err := p.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				remote, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
				fmt.Fprintf(conn, "%s from %s\n", name, remote)
				io.Copy(conn, conn)
			}()
		}
	}()
}

// greeting is what the far end of a connection says first.
func greeting(conn net.Conn) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	line := make([]byte, 0, 64)
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
	}
}

// reach connects as root, as an app does, and tells who answered.
func reach(t *testing.T, from *lab.Pod, to string) string {
	t.Helper()
	conn, err := from.DialContext(t.Context(), "tcp", to)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "refused"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line, err := greeting(conn)
	if err != nil {
		t.Fatalf("%s: %v", to, err)
	}
	return line
}

// reachAs connects with a program that runs as another user, from a given source
// address if there is one.
func reachAs(t *testing.T, from *lab.Pod, uid uint32, source, to string) string {
	t.Helper()
	return strings.TrimSpace(run(t, from, uid, os.Args[0], "-reach", to, "-reach-from", source))
}

// Every rule, by what it does to real connections, in both families.
func TestConnections(t *testing.T) {
	l := newLab(t)
	const outside4, outside6 = "203.0.113.7", "2001:db8::7"
	pod, other := addPod(t, l, "pod"), addPod(t, l, "other", outside4, outside6, "203.0.113.8")
	for port, name := range map[int]string{8080: "app", 15001: "outbound", 15006: "inbound", 15021: "health", 15020: "probes", 15090: "metrics", 9000: "open"} {
		serve(t, pod, port, name)
	}
	serve(t, other, 8080, "other")
	serve(t, other, 3306, "database")

	plan, err := redirect.MakePlan(redirect.Options{
		ExcludeInboundPorts: []uint16{9000}, ExcludeOutboundPorts: []uint16{3306},
		ExcludeOutbound: []netip.Prefix{netip.MustParsePrefix("203.0.113.8/31")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pod.Do(plan.Apply); err != nil {
		t.Fatal(err)
	}

	pod4, other4 := pod.Address().String(), other.Address().String()
	pod6, other6 := "["+pod.Address6().String()+"]", "["+other.Address6().String()+"]"
	const proxy, app = redirect.ProxyID, 0
	for _, c := range []struct {
		why       string
		from      *lab.Pod
		uid       uint32
		source    string
		to4, to6  string
		want4     string
		want6     string
		otherUser bool
	}{
		{why: "a call to the app goes to the sidecar", from: other, to4: pod4 + ":8080", want4: "inbound from " + other4, to6: pod6 + ":8080", want6: "inbound from " + unbracket(other6)},
		{why: "to a port where nobody listens as well", from: other, to4: pod4 + ":7777", want4: "inbound from " + other4, to6: pod6 + ":7777", want6: "inbound from " + unbracket(other6)},
		{why: "health is reached directly", from: other, to4: pod4 + ":15021", want4: "health from " + other4, to6: pod6 + ":15021", want6: "health from " + unbracket(other6)},
		{why: "probes are", from: other, to4: pod4 + ":15020", want4: "probes from " + other4},
		{why: "metrics are", from: other, to4: pod4 + ":15090", want4: "metrics from " + other4},
		{why: "an excluded inbound port is", from: other, to4: pod4 + ":9000", want4: "open from " + other4, to6: pod6 + ":9000", want6: "open from " + unbracket(other6)},
		{why: "the app's call to another pod goes to the sidecar", from: pod, to4: other4 + ":8080", want4: "outbound from " + pod4, to6: other6 + ":8080", want6: "outbound from " + unbracket(pod6)},
		{why: "to a Service's address that no interface has", from: pod, to4: "10.96.0.10:80", want4: "outbound from " + pod4, to6: "[fd00:10:96::10]:80", want6: "outbound from " + unbracket(pod6)},
		{why: "to the world outside", from: pod, to4: outside4 + ":8080", want4: "outbound from " + pod4, to6: "[" + outside6 + "]:8080", want6: "outbound from " + unbracket(pod6)},
		{why: "an excluded destination is reached directly", from: pod, to4: "203.0.113.8:8080", want4: "other from " + pod4},
		{why: "an excluded outbound port is", from: pod, to4: other4 + ":3306", want4: "database from " + pod4, to6: other6 + ":3306", want6: "database from " + unbracket(pod6)},
		{why: "the app talks to itself over loopback", from: pod, to4: "127.0.0.1:8080", want4: "app from 127.0.0.1", to6: "[::1]:8080", want6: "app from ::1"},
		{why: "any loopback address will do", from: pod, to4: "127.0.0.53:8080", want4: "app from 127.0.0.1"},
		{why: "the app talks to its own address", from: pod, to4: pod4 + ":8080", want4: "app from " + pod4, to6: pod6 + ":8080", want6: "app from " + unbracket(pod6)},
		{why: "the sidecar reaches other pods directly", from: pod, uid: proxy, otherUser: true, to4: other4 + ":8080", want4: "other from " + pod4, to6: other6 + ":8080", want6: "other from " + unbracket(pod6)},
		{why: "the sidecar reaches its admin listener", from: pod, uid: proxy, otherUser: true, to4: "127.0.0.1:8080", want4: "app from 127.0.0.1", to6: "[::1]:8080", want6: "app from ::1"},
		{why: "the sidecar's call to its own pod comes in again", from: pod, uid: proxy, otherUser: true, to4: pod4 + ":8080", want4: "inbound from " + pod4, to6: pod6 + ":8080", want6: "inbound from " + unbracket(pod6)},
		{why: "unless it comes from the inbound source address", from: pod, uid: proxy, otherUser: true, source: "loopback", to4: pod4 + ":8080", want4: "app from 127.0.0.6", to6: pod6 + ":8080", want6: "app from ::6"},
		{why: "a user that is not the sidecar's is an app", from: pod, uid: 1000, otherUser: true, to4: other4 + ":8080", want4: "outbound from " + pod4, to6: other6 + ":8080", want6: "outbound from " + unbracket(pod6)},
	} {
		t.Run(c.why, func(t *testing.T) {
			for i, to := range []string{c.to4, c.to6} {
				if to == "" {
					continue
				}
				source := ""
				if c.source != "" {
					source = []string{"127.0.0.6", "::6"}[i]
				}
				got := ""
				if c.otherUser {
					got = reachAs(t, c.from, c.uid, source, to)
				} else {
					got = reach(t, c.from, to)
				}
				if want := []string{c.want4, c.want6}[i]; got != want {
					t.Errorf("%s: %q, want %q", to, got, want)
				}
			}
		})
	}

	t.Run("without the rules everything is reached directly", func(t *testing.T) {
		if err := pod.Do(redirect.Remove); err != nil {
			t.Fatal(err)
		}
		if got, want := reach(t, pod, other4+":8080"), "other from "+pod4; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func unbracket(s string) string { return strings.Trim(s, "[]") }

// Connections in both directions that are older than the rules go on: also when it
// is the far end that speaks next.
func TestEstablishedConnectionsSurvive(t *testing.T) {
	l := newLab(t)
	pod, other := addPod(t, l, "pod"), addPod(t, l, "other")
	serve(t, pod, 8080, "app")
	serve(t, other, 8080, "other")
	// Nobody listens on 15001 and 15006: whatever is redirected is reset.
	out, err := pod.DialContext(t.Context(), "tcp", other.Address().String()+":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := other.DialContext(t.Context(), "tcp", pod.Address().String()+":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, conn := range []net.Conn{out, in} {
		if _, err := greeting(conn); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := redirect.MakePlan(redirect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pod.Do(plan.Apply); err != nil {
			t.Fatal(err)
		}
		for name, conn := range map[string]net.Conn{"outbound": out, "inbound": in} {
			for _, word := range []string{"one\n", "two\n"} {
				if _, err := io.WriteString(conn, word); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got, err := greeting(conn); err != nil || got+"\n" != word {
					t.Fatalf("%s: sent %q, got %q, %v", name, word, got, err)
				}
			}
		}
	}
	if got := reach(t, other, pod.Address().String()+":8080"); got != "refused" {
		t.Errorf("a new connection is not redirected: %q", got)
	}
}

// Without NET_ADMIN the error names what is missing.
func TestApplyWithoutCapability(t *testing.T) {
	l := newLab(t)
	p := addPod(t, l, "pod")
	got := run(t, p, 1000, os.Args[0], "-apply")
	if !strings.Contains(got, "NET_ADMIN") {
		t.Errorf("the error should name NET_ADMIN: %s", got)
	}
}

// A kernel without IPv6 in the pod: no address is added, and the rules are there.
func TestWithoutIPv6(t *testing.T) {
	l := newLab(t)
	p := addPod(t, l, "pod")
	off := func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("1"), 0o644)
	}
	if err := p.Do(off); err != nil {
		t.Fatal(err)
	}
	plan, err := redirect.MakePlan(redirect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(plan.Apply); err != nil {
		t.Fatal(err)
	}
	if got := reach(t, p, "10.96.0.10:80"); got != "refused" { // by 15001, where nobody listens
		t.Errorf("not redirected: %q", got)
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Fatalf("%v; install the package nftables", err)
	}
}
