package mesh_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// silence is longer than sidecars wait for a client's first bytes (1 s): what they
// have not seen by then they take for TCP, unless they know better.
const silence = 1300 * time.Millisecond

// forgedCaller is who a client says that it is.
const forgedCaller = "URI=spiffe://cluster.local/ns/shop/sa/admin"

// late connects, says nothing for that long, then sends a request that claims to be
// of somebody else. The error is that there was no answer.
func late(p *meshtest.Pod, address string) (meshtest.Response, error) {
	var r meshtest.Response
	conn, err := p.Dial(address)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	if err := keepSilent(conn); err != nil {
		return r, err
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: late\r\nx-forwarded-client-cert: %s\r\nconnection: close\r\n\r\n", forgedCaller)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return r, err
	}
	defer answer.Body.Close()
	r.Status, r.Header = answer.StatusCode, answer.Header
	if r.Body, err = io.ReadAll(answer.Body); err != nil {
		return r, err
	}
	if r.Status == http.StatusOK {
		err = json.Unmarshal(r.Body, &r.Echo)
	}
	return r, err
}

// keepSilent fails if the other end closes the connection meanwhile, or speaks.
func keepSilent(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%d bytes, then %w", n, err)
	}
	return conn.SetReadDeadline(time.Now().Add(20 * time.Second))
}

// closed asks late, and fails unless the connection is closed.
func closed(t testing.TB, p *meshtest.Pod, address string) {
	t.Helper()
	if r, err := late(p, address); err == nil {
		t.Errorf("%s to %s: %d by %q: it was answered", p.Key(), address, r.Status, r.Echo.Pod)
	}
}

const idleServices = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: v1}
  externalIPs: [198.51.100.9]
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: main, port: 81, targetPort: 8081}
  - {name: tcp, port: 82, targetPort: 8080}
  - {name: any, port: 7000}
  - {name: shy, port: 7001}
---
apiVersion: v1
kind: Service
metadata: {name: v2, namespace: shop}
spec:
  selector: {app: v2}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: catalog, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog, port: 80}, {group: "", kind: Service, name: catalog, port: 81}]
  rules: [{backendRefs: [{name: catalog, port: 80, weight: 0}, {name: v2, port: 80, weight: 100}]}]
`

// Who keeps silent on a port for HTTP and then speaks gets round nothing: neither the
// rules, nor what the sidecar tells the app of its caller.
func TestIdleConnectionsGetRoundNothing(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("services", idleServices)
	pod := func(name string, meshed bool) *meshtest.Pod {
		return m.Pod(lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: name, Meshed: meshed})
	}
	v1, v2, web, bare := pod("v1", true), pod("v2", true), pod("web", true), pod("bare", false)
	app := v1.Serve(8080, nil)
	ruled := v1.Serve(8081, nil)
	v1.Serve(7000, nil)
	v1.ServeTCP(7001, meshtest.Greet("hello, I am shy"))
	v2.Serve(8080, nil)
	vip := m.Serving("shop", "catalog", 1)
	m.Serving("shop", "v2", 1)
	m.InSync()

	// By the Service, by an address of it outside, and by the pod's own.
	t.Run("a meshed client is closed", func(t *testing.T) {
		for _, address := range []string{
			meshtest.At(vip, 80), meshtest.At(vip, 81), "198.51.100.9:80",
			meshtest.At(v1.Address(), 8080), meshtest.At(v1.Address(), 8081),
		} {
			t.Run(address, func(t *testing.T) {
				t.Parallel()
				closed(t, web, address)
			})
		}
	})
	if n := app.Requests.Load() + ruled.Requests.Load(); n != 0 {
		t.Errorf("v1 got %d requests, round the rules that send all to v2", n)
	}
	for _, port := range []uint16{80, 81} {
		if r := web.Ask(t, meshtest.At(vip, port), meshtest.Request{}); r.Echo.Pod != "v2" {
			t.Errorf("who speaks at once is answered by %s", r.Echo.Pod)
		}
	}

	t.Run("the app is told who calls", func(t *testing.T) {
		for _, c := range []struct {
			why     string
			from    *meshtest.Pod
			address string
			caller  string
		}{
			{"without a sidecar", bare, meshtest.At(v1.Address(), 8080), ""},
			{"without a sidecar, a port with rules", bare, meshtest.At(v1.Address(), 8081), ""},
			{"by a Service that says that its port is TCP", web, meshtest.At(vip, 82), web.ID()},
		} {
			t.Run(c.why, func(t *testing.T) {
				t.Parallel()
				r, err := late(c.from, c.address)
				if err != nil || r.Echo.Pod != "v1" || r.Caller() != c.caller {
					t.Errorf("%d %v, the app was told %q, want %q", r.Status, err, r.Caller(), c.caller)
				}
			})
		}
		t.Run("what is no HTTP does not reach it", func(t *testing.T) {
			before := app.Requests.Load()
			for _, text := range []string{"\x00\x00\x00\x08\r\n\r\n", "\x16\x03\x01\x00\x05hello", "hello\r\n\r\n"} {
				if got, err := bare.TalkTCP(meshtest.At(v1.Address(), 8080), text); err == nil && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
					t.Errorf("%q: %q", text, got)
				}
			}
			if n := app.Requests.Load() - before; n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	})

	// A port that says nothing is TCP after a second, as it was.
	t.Run("other ports", func(t *testing.T) {
		for _, p := range []*meshtest.Pod{web, bare} {
			for _, address := range []string{meshtest.At(vip, 7000), meshtest.At(v1.Address(), 7000)} {
				if p == bare && address == meshtest.At(vip, 7000) {
					continue // nobody translates it there
				}
				t.Run(p.Spec.Name+" to "+address, func(t *testing.T) {
					t.Parallel()
					if r, err := late(p, address); err != nil || r.Echo.Pod != "v1" {
						t.Errorf("%d %v", r.Status, err)
					}
				})
			}
		}
		t.Run("the server speaks first", func(t *testing.T) {
			t.Parallel()
			greeted(t, web, meshtest.At(vip, 7001), "hello, I am shy")
			greeted(t, bare, meshtest.At(v1.Address(), 7001), "hello, I am shy")
		})
	})
}

// Go's client opens a connection for each request that finds none free, and if one
// becomes free first, keeps the new one for later. It does not mind its being closed.
func TestIdleSpareConnectionsOfGo(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("services", idleServices)
	v1 := m.Pod(lab.PodSpec{Namespace: "shop", Name: "v1", ServiceAccount: "v1", Meshed: true})
	v2 := m.Pod(lab.PodSpec{Namespace: "shop", Name: "v2", ServiceAccount: "v2", Meshed: true})
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	round := v1.Serve(8080, nil)
	v2.Serve(8080, nil)
	url := "http://" + m.Serving("shop", "catalog", 1).String()
	m.Serving("shop", "v2", 1)
	m.InSync()
	web.Ask(t, url, meshtest.Request{})

	dialer := &spareDialer{dial: web.DialContext}
	client := web.Client()
	client.Transport = &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 100}
	defer client.CloseIdleConnections()
	var failed sync.Map
	requests := 0
	burst := func() {
		var wg sync.WaitGroup
		for i := range 16 {
			requests++
			wg.Go(func() {
				request := meshtest.Request{}
				if i%2 == 0 {
					request = meshtest.Request{Method: "POST", Body: strings.NewReader("body")}
				}
				if r, err := meshtest.Do(t.Context(), client, url, request); err != nil || r.Status != 200 || r.Echo.Pod != "v2" {
					failed.Store(i, fmt.Sprintf("%d by %q: %v", r.Status, r.Echo.Pod, err))
				}
			})
		}
		wg.Wait()
	}
	burst()
	// Spares are left over: bursts go on while they are closed, and after.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		burst()
	}
	dialer.wait(t)
	burst()
	failed.Range(func(_, what any) bool { t.Error(what); return true })
	t.Logf("%d requests, %d connections, %d of them never used and closed", requests, dialer.opened(), dialer.unused())
	if dialer.unused() == 0 {
		t.Error("there was no spare connection")
	}
	if n := round.Requests.Load(); n != 0 {
		t.Errorf("%d requests went round the rules", n)
	}
}

// spareDialer makes every other connection late, so that some are not needed any
// more, and notes which end unused.
type spareDialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex // guards:
	conns []*spareConn
}

type spareConn struct {
	net.Conn
	mu            sync.Mutex // guards:
	written, ends bool
}

func (d *spareDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &spareConn{Conn: conn}
	d.mu.Lock()
	d.conns = append(d.conns, s)
	late := len(d.conns)%2 == 0
	d.mu.Unlock()
	if late {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return s, nil
}

func (c *spareConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.written = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *spareConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.mu.Lock()
		c.ends = true
		c.mu.Unlock()
	}
	return n, err
}

func (c *spareConn) state() (written, ends bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written, c.ends
}

func (d *spareDialer) all() []*spareConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conns
}

func (d *spareDialer) opened() int { return len(d.all()) }

func (d *spareDialer) unused() (n int) {
	for _, c := range d.all() {
		if written, ends := c.state(); ends && !written {
			n++
		}
	}
	return n
}

// wait waits until all connections that were never used are closed.
func (d *spareDialer) wait(t *testing.T) {
	t.Helper()
	meshtest.Eventually(t, "unused connections are closed", func() error {
		for _, c := range d.all() {
			if written, ends := c.state(); !written && !ends {
				return errors.New("one is not")
			}
		}
		return nil
	})
}

// What a port is declared to be may change at any time: it holds for the next
// connection, and no other is disturbed.
func TestIdleFollowsTheDeclaration(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	declare := func(name string) {
		m.Apply("service", fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec:
  selector: {app: server}
  ports: [{name: %s, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
`, name))
	}
	declare("main")
	server := m.Pod(lab.PodSpec{Namespace: "shop", Name: "server", ServiceAccount: "server", Meshed: true})
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	bare := m.Pod(lab.PodSpec{Namespace: "shop", Name: "bare"})
	server.Serve(8080, nil)
	server.ServeTCP(7000, meshtest.Greet("hello"))
	vip := m.Serving("shop", "server", 1)
	m.InSync()

	open := func(p *meshtest.Pod, address string) func() {
		conn, err := p.Dial(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		in := bufio.NewReader(conn)
		say := func() {
			t.Helper()
			conn.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // reading tells
			fmt.Fprintln(conn, "more")
			if line, err := in.ReadString('\n'); err != nil || line != "more\n" {
				t.Errorf("%s to %s: %q %v", p.Key(), address, line, err)
			}
		}
		if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
			t.Fatalf("%s to %s: %q %v", p.Key(), address, line, err)
		}
		return say
	}
	others := []func(){open(web, meshtest.At(vip, 7000)), open(web, meshtest.At(server.Address(), 7000)), open(bare, meshtest.At(server.Address(), 7000))}
	keeps := web.Client()
	defer keeps.CloseIdleConnections()
	undisturbed := func() {
		t.Helper()
		for _, say := range others {
			say()
		}
		if r, err := meshtest.Do(t.Context(), keeps, vip.String(), meshtest.Request{}); err != nil || r.Status != 200 || r.Caller() != web.ID() {
			t.Errorf("%d %v, caller %q", r.Status, err, r.Caller())
		}
		for _, p := range []*meshtest.Pod{server, web} {
			for _, s := range []string{"listener_manager.total_filter_chains_draining", "listener_manager.total_listeners_draining"} {
				if n := stat(t, p, s); n != 0 {
					t.Errorf("%s: %s: %d", p.Key(), s, n)
				}
			}
		}
	}
	undeclared := func() {
		t.Helper()
		for _, address := range []string{meshtest.At(vip, 80), meshtest.At(server.Address(), 8080)} {
			m.Eventually("taken for TCP: "+address, func() error { _, err := late(web, address); return err })
		}
		m.Eventually("taken for TCP", func() error {
			r, err := late(bare, meshtest.At(server.Address(), 8080))
			if err == nil && r.Caller() == "" {
				err = errors.New("taken for HTTP")
			}
			return err
		})
		undisturbed()
	}
	declared := func() {
		t.Helper()
		for _, address := range []string{meshtest.At(vip, 80), meshtest.At(server.Address(), 8080)} {
			m.Eventually("closed: "+address, func() error {
				if r, err := late(web, address); err == nil {
					return fmt.Errorf("%d", r.Status)
				}
				return nil
			})
		}
		m.Eventually("the app is told nothing forged", func() error {
			r, err := late(bare, meshtest.At(server.Address(), 8080))
			if err == nil && r.Caller() != "" {
				err = errors.New("taken for TCP")
			}
			return err
		})
		undisturbed()
	}

	undeclared()
	declare("http")
	declared()
	declare("main")
	undeclared()
	m.Apply("route", `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: server, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: server}]
  rules: [{backendRefs: [{name: server, port: 80}]}]
`)
	declared()
	m.Delete("route")
	undeclared()
	if n := stat(t, server, "listener_manager.listener_in_place_updated"); n < 4 {
		t.Errorf("%d updates in place, want one for each change", n)
	}
}
