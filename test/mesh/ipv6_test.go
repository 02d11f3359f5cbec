package mesh_test

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

var (
	outside6  = netip.MustParseAddr("2001:db8:ffff::10")
	balancer6 = netip.MustParseAddr("2001:db8:ffff::20")
)

const services6 = `
apiVersion: v1
kind: Service
metadata: {name: six, namespace: shop}
spec:
  type: LoadBalancer
  ipFamilyPolicy: SingleStack
  ipFamilies: [IPv6]
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}, {name: mysql, port: 3306}]
status:
  loadBalancer: {ingress: [{ip: "2001:db8:ffff::20"}]}
---
apiVersion: v1
kind: Service
metadata: {name: dual, namespace: shop}
spec:
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}, {name: mysql, port: 3306}]
---
apiVersion: v1
kind: Service
metadata: {name: dual6, namespace: shop}
spec:
  ipFamilyPolicy: PreferDualStack
  ipFamilies: [IPv6, IPv4]
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}, {name: mysql, port: 3306}]
---
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: shop}
spec:
  ipFamilies: [IPv6]
  selector: {app: bare}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
`

// IPv6 is no different: a Service of that family, either family of a dual-stack
// one, a pod's own address. A call keeps its family up to the app.
func TestIPv6AndDualStack(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	server := m.Pod(lab.PodSpec{Namespace: "shop", Name: "server", ServiceAccount: "server", Meshed: true})
	bare := m.Pod(lab.PodSpec{Namespace: "shop", Name: "bare", ExtraAddresses: []netip.Addr{outside6}})
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	for _, p := range []*meshtest.Pod{server, bare, web} {
		serveFamilies(p)
	}
	m.Apply("services", services6)
	addresses := func(name string) []netip.Addr {
		m.Service("shop", name)
		return m.Controller().Store().Service(mesh.Name{Namespace: "shop", Name: name}).Addresses
	}
	six, dual, dual6, plain := addresses("six"), addresses("dual"), addresses("dual6"), addresses("bare")
	if len(six) != 1 || !six[0].Is6() || len(dual) != 2 || !dual[0].Is4() || len(dual6) != 2 || !dual6[0].Is6() || len(plain) != 1 {
		t.Fatalf("addresses: %v, %v, %v, %v", six, dual, dual6, plain)
	}
	m.InSync()
	v4, v6 := server.Address(), server.Address6()

	for _, c := range []struct {
		name   string
		called netip.Addr
		at     netip.Addr // the address that the app was called at
		from   *meshtest.Pod
		caller string
	}{
		{"IPv6-only Service", six[0], v6, web, web.ID()},
		{"its load balancer's address", balancer6, v6, web, web.ID()},
		{"dual-stack Service by IPv4", dual[0], v4, web, web.ID()},
		{"dual-stack Service by IPv6", dual[1], v6, web, web.ID()},
		{"dual-stack Service, IPv6 first, by IPv6", dual6[0], v6, web, web.ID()},
		{"dual-stack Service, IPv6 first, by IPv4", dual6[1], v4, web, web.ID()},
		{"pod's address", v6, v6, web, web.ID()},
		{"Service without a sidecar", plain[0], bare.Address6(), web, ""},
		{"pod without a sidecar", bare.Address6(), bare.Address6(), web, ""},
		{"outside", outside6, outside6, web, ""},
		{"own Service", six[0], v6, server, server.ID()},
		{"own address", v6, v6, server, ""},
		{"from a client without a sidecar", v6, v6, bare, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := uint16(80)
			if c.called == c.at {
				port = 8080
			}
			r := c.from.Ask(t, "http://"+meshtest.At(c.called, port), meshtest.Request{})
			if at := r.Header.Get("x-called-at"); at != meshtest.At(c.at, 8080) || r.Caller() != c.caller {
				t.Errorf("HTTP: the app was called at %s by %q, want at %s by %q", at, r.Caller(), c.at, c.caller)
			}
			if got, err := c.from.TalkTCP(meshtest.At(c.called, 7000), "\x00\x01\x02\x03\x04"); err != nil || !strings.HasPrefix(got, meshtest.At(c.at, 7000)+" \x00") {
				t.Errorf("TCP: %q %v, want at %s", got, err, c.at)
			}
		})
	}

	t.Run("server first", func(t *testing.T) {
		for _, a := range []netip.Addr{six[0], dual[0], dual[1], v6} {
			if took := greeted(t, web, meshtest.At(a, 3306), "hello"); took > 700*time.Millisecond {
				t.Errorf("%s: the greeting took %s", a, took)
			}
		}
	})

	t.Run("nobody", func(t *testing.T) {
		for _, address := range []string{"[fd00:10:96::7777]:80", meshtest.At(six[0], 81), meshtest.At(v6, 9999)} {
			start := time.Now()
			r, err := web.Do("http://"+address, meshtest.Request{})
			if took := time.Since(start); err != nil || r.Status != http.StatusServiceUnavailable || took > 2*time.Second {
				t.Errorf("%s: %d %q %v after %s", address, r.Status, r.Body, err, took)
			}
		}
	})
}

// serveFamilies runs apps that tell the address that they were called at.
func serveFamilies(p *meshtest.Pod) {
	echo := meshtest.EchoHandler(p.Spec.Name)
	p.Serve(8080, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-called-at", r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		echo.ServeHTTP(w, r)
	}))
	p.ServeTCP(7000, func(c net.Conn) { meshtest.EchoTCP(c.LocalAddr().String() + " ")(c) })
	p.ServeTCP(3306, meshtest.Greet("hello"))
}

// A cluster may have no IPv4 at all.
func TestClusterWithIPv6Only(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, func(o *controller.Options) {
		o.XDSAddress = fmt.Sprintf("[fd00:10:244::1]:%d", injector.XDSPort)
		o.ServiceRanges = []netip.Prefix{meshtest.ServiceRange6}
		o.PodRanges = lab.PodRanges()[1:]
	})
	m.Apply("service", `
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec:
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
`)
	pod := func(name, address string) *meshtest.Pod {
		p := m.Pod(lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: name, Meshed: true, Addresses: []netip.Addr{netip.MustParseAddr(address)}})
		serveFamilies(p)
		return p
	}
	server, web := pod("server", "fd00:10:244::a1"), pod("web", "fd00:10:244::a2")
	vip := m.Service("shop", "server")
	for _, c := range []struct {
		called netip.AddrPort
		tcp    uint16
	}{{netip.AddrPortFrom(vip, 80), 7000}, {netip.AddrPortFrom(server.Address(), 8080), 7000}} {
		if r := web.Ask(t, "http://"+c.called.String(), meshtest.Request{}); r.Caller() != web.ID() || r.Header.Get("x-called-at") != "[fd00:10:244::a1]:8080" {
			t.Errorf("HTTP to %s: %v", c.called, r.Header)
		}
		if got, err := web.TalkTCP(meshtest.At(c.called.Addr(), c.tcp), "\x00"); err != nil || got != "[fd00:10:244::a1]:7000 \x00." {
			t.Errorf("TCP to %s: %q %v", c.called, got, err)
		}
	}
}
