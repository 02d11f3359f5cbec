package mesh_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
	"github.com/fairlead/fairlead/xds/ads"
)

// Addresses of the world outside the mesh, of a load balancer and of externalIPs.
var (
	outsideAddress  = netip.MustParseAddr("203.0.113.10")
	balancerAddress = netip.MustParseAddr("198.51.100.7")
	externalAddress = netip.MustParseAddr("198.51.100.8")
	apiServer       = netip.MustParseAddr("10.96.0.1")
)

const destinations = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  type: LoadBalancer
  selector: {app: catalog}
  externalIPs: [198.51.100.8]
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
status:
  loadBalancer: {ingress: [{ip: 198.51.100.7}]}
---
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: shop}
spec:
  selector: {app: bare}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
---
apiVersion: v1
kind: Service
metadata: {name: mixed, namespace: shop}
spec:
  selector: {mixed: "yes"}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: shop}
spec:
  clusterIP: None
  selector: {app: store}
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
# The API server's own Service: its address is a pod's here, for there is no
# kube-proxy to send it elsewhere.
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec:
  clusterIP: 10.96.0.1
  ports: [{name: https, port: 443, targetPort: 6443}]
---
apiVersion: v1
kind: Service
metadata: {name: written, namespace: shop}
spec:
  ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: written-1, namespace: shop, labels: {kubernetes.io/service-name: written}}
addressType: IPv4
endpoints: [{addresses: [%s]}]
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: abroad, namespace: shop}
spec:
  ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: abroad-1, namespace: shop, labels: {kubernetes.io/service-name: abroad}}
addressType: IPv4
endpoints: [{addresses: [203.0.113.10]}]
ports: [{name: http, port: 8080}]
`

// Whatever name or address a caller knows an app by, it reaches the app; and if
// both have a sidecar, by mutual TLS with the identity of the pod.
func TestEveryDestinationIsReached(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	pod := func(name string, meshed bool, labels map[string]string, extra ...netip.Addr) *meshtest.Pod {
		p := m.Pod(lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: name, Meshed: meshed, Labels: labels, ExtraAddresses: extra})
		p.Serve(8080, nil)
		p.ServeTCP(7000, meshtest.EchoTCP(name+": "))
		return p
	}
	catalog := pod("catalog", true, map[string]string{"app": "catalog", "mixed": "yes"})
	bare := pod("bare", false, map[string]string{"app": "bare", "mixed": "yes"})
	store0 := pod("store-0", true, map[string]string{"app": "store"})
	store1 := pod("store-1", true, map[string]string{"app": "store"})
	outside := pod("outside", false, nil, outsideAddress, apiServer)
	web := pod("web", true, nil)
	m.Apply("services", fmt.Sprintf(destinations, catalog.Address()))
	service := func(name string) string { return m.Service("shop", name).String() }
	service("abroad") // all are known
	m.InSync()

	for _, c := range []struct{ name, address, pod, caller string }{
		{"Service", service("catalog"), "catalog", web.ID()},
		{"load balancer's address", balancerAddress.String(), "catalog", web.ID()},
		{"external IP", externalAddress.String(), "catalog", web.ID()},
		{"pod's address", meshtest.At(catalog.Address(), 8080), "catalog", web.ID()},
		{"pod of a headless Service", meshtest.At(store0.Address(), 8080), "store-0", web.ID()},
		{"another pod of it", meshtest.At(store1.Address(), 8080), "store-1", web.ID()},
		{"own Service", service("web"), "web", web.ID()},
		{"own address", meshtest.At(web.Address(), 8080), "web", ""},
		{"loopback", "127.0.0.1:8080", "web", ""},
		{"Service without a sidecar", service("bare"), "bare", ""},
		{"pod without a sidecar", meshtest.At(bare.Address(), 8080), "bare", ""},
		{"Service without a selector to a pod with a sidecar", service("written"), "catalog", web.ID()},
		{"Service without a selector to the outside", service("abroad"), "outside", ""},
		{"outside", meshtest.At(outsideAddress, 8080), "outside", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // on demand, and held
				if r := web.Ask(t, c.address, meshtest.Request{}); r.Echo.Pod != c.pod || r.Caller() != c.caller {
					t.Errorf("%s answered, called by %q; want %s, called by %q", r.Echo.Pod, r.Caller(), c.pod, c.caller)
				}
			}
		})
	}

	t.Run("TCP", func(t *testing.T) {
		for _, c := range []struct{ address, pod string }{
			{service("catalog") + ":7000", "catalog"},
			{meshtest.At(balancerAddress, 7000), "catalog"},
			{meshtest.At(store1.Address(), 7000), "store-1"},
			{service("bare") + ":7000", "bare"},
			{meshtest.At(bare.Address(), 7000), "bare"},
			{meshtest.At(web.Address(), 7000), "web"},
			{meshtest.At(outsideAddress, 7000), "outside"},
		} {
			if got, err := web.TalkTCP(c.address, "\x00\x01"); err != nil || got != c.pod+": \x00\x01." {
				t.Errorf("%s: %q %v", c.address, got, err)
			}
		}
		if n := stat(t, catalog, "tcp.inbound-tcp.downstream_cx_total"); n != 2 {
			t.Errorf("%d of 2 connections to catalog came by mutual TLS", n)
		}
	})

	// A Service with and without sidecars behind it, as in a roll-out of the mesh.
	t.Run("mixed Service", func(t *testing.T) {
		callers := map[string]string{}
		meshtest.Eventually(t, "both answer", func() error {
			r := web.Ask(t, service("mixed"), meshtest.Request{})
			callers[r.Echo.Pod] = r.Caller()
			if len(callers) < 2 {
				return fmt.Errorf("only %v", callers)
			}
			return nil
		})
		if callers["catalog"] != web.ID() || callers["bare"] != "" {
			t.Errorf("called by: %v", callers)
		}
	})

	// Beyond the ranges of the mesh nothing is read, changed or added; neither is it
	// on the way to the API server.
	t.Run("outside untouched", func(t *testing.T) {
		received := make(chan string, 1)
		outside.ServeTCP(8081, func(c net.Conn) {
			in := bufio.NewReader(c)
			var all strings.Builder
			for !strings.HasSuffix(all.String(), "\r\n\r\n") {
				b, err := in.ReadByte()
				if err != nil {
					return
				}
				all.WriteByte(b)
			}
			received <- all.String()
			fmt.Fprint(c, "HTTP/1.1 200 All Right\r\nX-Odd-CASE: yes\r\nContent-Length: 0\r\n\r\n")
		})
		const sent = "GET /a/../b HTTP/1.1\r\nHOST: x\r\nX-Odd-CASE:  y \r\nx-envoy-retry-on: 5xx\r\nX-Fairlead-Destination: 1.2.3.4:5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
		for _, address := range []netip.Addr{outsideAddress, apiServer} {
			h, _, err := web.Wire(meshtest.At(address, 8081), sent)
			if err != nil || h.First != "HTTP/1.1 200 All Right" || strings.Join(h.Lines, "|") != "X-Odd-CASE: yes|Content-Length: 0" {
				t.Errorf("%s answered: %q %v", address, h, err)
			}
			if got := <-received; got != sent {
				t.Errorf("%s received %q", address, got)
			}
		}
	})

	// An address inside the ranges that is nobody's may be a node's.
	t.Run("node", func(t *testing.T) {
		l, err := m.Lab.Node().Listen("tcp", ":8080")
		if err != nil {
			t.Fatal(err)
		}
		node := &http.Server{Handler: meshtest.EchoHandler("the node")}
		t.Cleanup(func() { node.Close() })
		go node.Serve(l) //nolint:errcheck // it ends with the test
		if r := web.Ask(t, meshtest.At(m.Lab.NodeAddresses()[0], 8080), meshtest.Request{}); r.Echo.Pod != "the node" || r.Caller() != "" {
			t.Errorf("%s, called by %q", r.Echo.Pod, r.Caller())
		}
	})

	// What cannot be reached is refused at once, not after a time of waiting.
	t.Run("nobody", func(t *testing.T) {
		for _, address := range []string{
			service("catalog") + ":81", service("bare") + ":7001", // ports that they do not have
			"10.96.77.77", "10.96.77.77:7000", // no Service
			meshtest.At(catalog.Address(), 9999), meshtest.At(bare.Address(), 9999), // nobody listens
		} {
			start := time.Now()
			r, err := web.Do(address, meshtest.Request{})
			if took := time.Since(start); err != nil || r.Status != http.StatusServiceUnavailable || took > 2*time.Second {
				t.Errorf("HTTP to %s: %d %q %v after %s", address, r.Status, r.Body, err, took)
			}
			if !strings.Contains(address, ":") {
				address += ":80"
			}
			start = time.Now()
			got, err := web.TalkTCP(address, "\x00")
			if took := time.Since(start); err == nil || took > 2*time.Second {
				t.Errorf("TCP to %s: %q %v after %s", address, got, err, took)
			}
		}
	})

	// Who has no sidecar is let in, as itself: nobody.
	t.Run("from a client without a sidecar", func(t *testing.T) {
		if r := bare.Ask(t, meshtest.At(catalog.Address(), 8080), meshtest.Request{}); r.Echo.Pod != "catalog" || r.Caller() != "" {
			t.Errorf("%s, called by %q", r.Echo.Pod, r.Caller())
		}
		c := bare.H2Client()
		defer c.CloseIdleConnections()
		if r, err := meshtest.Do(t.Context(), c, meshtest.At(catalog.Address(), 8080), meshtest.Request{}); err != nil || r.Echo.Proto != "HTTP/2.0" {
			t.Errorf("%q %v", r.Body, err)
		}
		if got, err := bare.TalkTCP(meshtest.At(catalog.Address(), 7000), "\x00\x01\x02\x03\x04"); err != nil || got != "catalog: \x00\x01\x02\x03\x04." {
			t.Errorf("TCP: %q %v", got, err)
		}
		catalog.ServeTCP(3306, meshtest.Greet("hello"))
		if took := greeted(t, bare, meshtest.At(catalog.Address(), 3306), "hello"); took > 4*time.Second {
			t.Errorf("the greeting took %s, want about 1 s", took)
		}
	})

	// A pod must find the API server when the control plane is not there.
	t.Run("API server without the control plane", func(t *testing.T) {
		m.Stop()
		defer m.Start()
		for range 2 {
			if r := web.Ask(t, meshtest.At(apiServer, 8080), meshtest.Request{}); r.Echo.Pod != "outside" || r.Caller() != "" {
				t.Errorf("%s, called by %q", r.Echo.Pod, r.Caller())
			}
		}
	})
}

// A mesh can refuse the world outside. The API server is not meant by that.
func TestOutsideIsRefusedIfTheMeshSaysSo(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, func(o *controller.Options) { o.RefuseOutside = true })
	m.Apply("services", fmt.Sprintf(destinations, "10.244.1.1"))
	m.Service("shop", "abroad")
	outside := m.Pod(lab.PodSpec{Namespace: "shop", Name: "outside", ExtraAddresses: []netip.Addr{outsideAddress, apiServer}})
	app := outside.Serve(8080, nil)
	outside.ServeTCP(7000, meshtest.EchoTCP("outside: "))
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", Meshed: true})
	start := time.Now()
	if r, err := web.Do(meshtest.At(outsideAddress, 8080), meshtest.Request{}); err == nil {
		t.Errorf("HTTP: %d %s", r.Status, r.Body)
	}
	if got, err := web.TalkTCP(meshtest.At(outsideAddress, 7000), "\x00"); err == nil {
		t.Errorf("TCP: %q", got)
	}
	if took := time.Since(start); took > 3*time.Second || app.Requests.Load() != 0 {
		t.Errorf("%d requests arrived; took %s", app.Requests.Load(), took)
	}
	web.Ask(t, meshtest.At(apiServer, 8080), meshtest.Request{})
	web.Ask(t, meshtest.At(outside.Address(), 8080), meshtest.Request{})
	// Somebody wrote a Service for it.
	web.Ask(t, m.Service("shop", "abroad").String(), meshtest.Request{})
}

// An address means whoever has it now, and if that is nobody, calls fail at once.
func TestAddressFollowsItsOwner(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	old := m.Pod(lab.PodSpec{Namespace: "shop", Name: "old", ServiceAccount: "old", Meshed: true})
	fresh := m.Pod(lab.PodSpec{Namespace: "shop", Name: "fresh", ServiceAccount: "fresh", Meshed: true})
	oldApp, freshApp := old.Serve(8080, nil), fresh.Serve(8080, nil)
	old.ServeTCP(7000, meshtest.EchoTCP("old: "))
	fresh.ServeTCP(7000, meshtest.EchoTCP("fresh: "))
	manifest := func(name string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop}
spec:
  clusterIP: 10.96.50.1
  selector: {app: %[1]s}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
`, name)
	}
	const address = "10.96.50.1"
	answers := func(name string) func() error {
		return func() error {
			start := time.Now()
			r, err := web.Do(address, meshtest.Request{})
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("a call took %s", took)
			}
			if err != nil || r.Echo.Pod != name {
				return fmt.Errorf("%d %s %v", r.Status, r.Body, err)
			}
			got, err := web.TalkTCP(address+":7000", "\x00")
			if err != nil || !strings.HasPrefix(got, name) {
				return fmt.Errorf("TCP: %q %v", got, err)
			}
			return nil
		}
	}
	nobody := func() error {
		start := time.Now()
		r, err := web.Do(address, meshtest.Request{})
		if err != nil || r.Status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %s %v", r.Status, r.Body, err)
		}
		if got, err := web.TalkTCP(address+":7000", "\x00"); err == nil {
			return fmt.Errorf("TCP: %q", got)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the failures took %s", took)
		}
		return nil
	}

	m.Apply("service", manifest("old"))
	m.Eventually("the Service answers", answers("old"))
	m.Delete("service")
	m.Eventually("nobody answers", nobody)
	m.Apply("service", manifest("old"))
	m.Eventually("the Service answers again", answers("old"))

	// Another Service takes the address while it is called all the time.
	load := web.StartLoad(address, 4)
	web.More(load, 100)
	idle, err := web.Dial(address + ":7000")
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprint(idle, "\x00")
	if _, err := io.ReadFull(idle, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	cluster := ads.Key{Type: ads.Cluster, Name: address + ":80"}
	before := m.Controller().Server().Rollout(cluster).Version
	m.Apply("service", manifest("fresh"))
	m.Eventually("the sidecar has the new Service", func() error {
		for _, k := range []ads.Key{cluster, {Type: ads.Endpoint, Name: "shop/fresh:80"}, {Type: ads.Secret, Name: "peers/shop/fresh"}} {
			if r := m.Controller().Server().Rollout(k); r.Version == before || r.Acked == 0 || r.Acked < r.Holders {
				return fmt.Errorf("%s: version %s, %d of %d have ACKed it", k, r.Version, r.Acked, r.Holders)
			}
		}
		return nil
	})
	sum := oldApp.Requests.Load()
	web.More(load, 200)
	if n := oldApp.Requests.Load() - sum; n > 4 { // one per client may have been under way
		t.Errorf("%d calls came to the old Service after the sidecar had ACKed the new one", n)
	}
	sum = oldApp.Requests.Load()
	web.More(load, 200)
	if n := oldApp.Requests.Load() - sum; n != 0 {
		t.Errorf("%d calls more came to the old Service", n)
	}
	web.MustNotFail(load)
	if freshApp.Requests.Load() < 300 {
		t.Errorf("only %d calls came to the new Service", freshApp.Requests.Load())
	}
	m.Eventually("the new Service answers", answers("fresh"))
	// A connection goes on with whom it began.
	if err := meshtest.CloseWrite(idle); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(idle); err != nil || string(rest) != "." {
		t.Errorf("the old connection: %q %v", rest, err)
	}

	// So it is with the address of a pod.
	first := old.Spec.Addresses
	podAddress := meshtest.At(first[0], 8080)
	if r := web.Ask(t, podAddress, meshtest.Request{}); r.Echo.Pod != "old" || r.Caller() != web.ID() {
		t.Errorf("%s, called by %q", r.Echo.Pod, r.Caller())
	}
	gone := old
	for _, next := range []struct {
		name   string
		meshed bool
		caller string
	}{{"heir", true, web.ID()}, {"plain-heir", false, ""}, {"last-heir", true, web.ID()}} {
		gone.DeleteManifest()
		if err := gone.Delete(); err != nil {
			t.Fatal(err)
		}
		p := m.Pod(lab.PodSpec{Namespace: "shop", Name: next.name, ServiceAccount: next.name, Meshed: next.meshed, Addresses: first})
		p.Serve(8080, nil)
		m.Eventually(next.name+" answers", func() error {
			start := time.Now()
			r, err := web.Do(podAddress, meshtest.Request{})
			if took := time.Since(start); took > 2*time.Second && err == nil && r.Status == 200 {
				t.Errorf("a call took %s", took)
			}
			if err != nil || r.Echo.Pod != next.name || r.Caller() != next.caller {
				return fmt.Errorf("%d %s called by %q, %v", r.Status, r.Body, r.Caller(), err)
			}
			return nil
		})
		gone = p
	}
}
