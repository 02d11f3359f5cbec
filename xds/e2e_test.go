package xds_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
)

const shop = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  clusterIP: 10.96.0.10
  ipFamilies: [IPv4, IPv6]
  externalIPs: [198.51.100.7]
  selector: {app: catalog}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: mysql, port: 3306, targetPort: 3306}
  - {name: greeter, port: 7000, targetPort: 7000}
  - {name: raw, port: 9000, targetPort: 9000}
  - {name: https, port: 443, targetPort: 8443}
---
apiVersion: v1
kind: Service
metadata: {name: legacy, namespace: shop}
spec:
  clusterIP: 10.96.0.20
  selector: {app: legacy}
  ports: [{port: 80, targetPort: 8080}]
`

// echo answers with what it saw of a request.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "app=%s\nproto=%s\nhost=%s\nuri=%s\nbody=%d\n", name, r.Proto, r.Host, r.RequestURI, len(body))
		r.Header.Write(w)
	})
}

func greet(text string) func(net.Listener) {
	return eachConn(func(c net.Conn) {
		fmt.Fprintln(c, text)
		io.Copy(c, c)
	})
}

func call(t *testing.T, c *http.Client, method, url string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func firstLine(t *testing.T, p *lab.Pod, address, say string) string {
	t.Helper()
	c, err := p.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, say)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimSpace(line)
}

// Two sidecars, their xDS server and real packets: every kind of destination.
func TestLiveDestinations(t *testing.T) {
	m := newLive(t, liveSettings())
	web := m.pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	catalog := m.pod(lab.PodSpec{Namespace: "shop", Name: "catalog", ServiceAccount: "catalog", Labels: map[string]string{"app": "catalog"}, Meshed: true})
	legacy := m.pod(lab.PodSpec{Namespace: "shop", Name: "legacy", Labels: map[string]string{"app": "legacy"}})
	for _, p := range []*lab.Pod{catalog, legacy} {
		m.listen(p, 8080, func(l net.Listener) { http.Serve(l, echo(p.Spec.Name)) })
	}
	m.listen(catalog, 3306, greet("mysql"))
	m.listen(catalog, 7000, greet("hello"))
	m.listen(catalog, 9000, eachConn(func(c net.Conn) { io.Copy(c, c) }))
	m.listen(catalog, 8443, func(l net.Listener) { http.Serve(tls.NewListener(l, m.serverTLS("catalog")), echo("tls")) })
	m.apply(shop)
	envoys := m.start()
	client := web.HTTPClient()

	const xfcc = "URI=spiffe://cluster.local/ns/shop/sa/web"
	t.Run("HTTP", func(t *testing.T) {
		code, body, h := call(t, client, "POST", "http://10.96.0.10/a//b/../c?q=%2F", func(r *http.Request) {
			r.Host = "any.example"
			r.Header.Set("x-fairlead-destination", "10.96.0.20:80")
			r.Header.Set("x-fairlead-unreached", "1")
			r.Header.Set("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin")
		})
		t.Logf("%d\n%s\n%v", code, body, h)
		if code != 200 || !strings.Contains(body, "app=catalog\n") || !strings.Contains(body, "host=any.example") ||
			!strings.Contains(body, xfcc) || strings.Contains(body, "admin") || strings.Contains(strings.ToLower(body), "x-fairlead") {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		if code, body, _ := call(t, client, "GET", "http://[fd00:96::10]/", nil); code != 200 || !strings.Contains(body, xfcc) {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("pod address", func(t *testing.T) {
		for _, a := range catalog.Spec.Addresses {
			if code, body, _ := call(t, client, "GET", "http://"+net.JoinHostPort(a.String(), "8080"), nil); code != 200 || !strings.Contains(body, xfcc) {
				t.Errorf("%s: %d %s", a, code, body)
			}
		}
	})
	t.Run("external address", func(t *testing.T) {
		if code, body, _ := call(t, client, "GET", "http://198.51.100.7/", nil); code != 200 || !strings.Contains(body, xfcc) {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("endpoint without a sidecar", func(t *testing.T) {
		if code, body, _ := call(t, client, "GET", "http://10.96.0.20/", nil); code != 200 || strings.Contains(strings.ToLower(body), "x-f") {
			t.Logf("%d %s", code, body)
		}
	})
	t.Run("from a pod without a sidecar", func(t *testing.T) {
		code, body, _ := call(t, legacy.HTTPClient(), "GET", "http://"+net.JoinHostPort(catalog.Address().String(), "8080"), func(r *http.Request) {
			r.Header.Set("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin")
		})
		if code != 200 || strings.Contains(body, "admin") {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("TCP", func(t *testing.T) {
		for address, want := range map[string]string{
			"10.96.0.10:3306": "mysql", "[fd00:96::10]:3306": "mysql",
			"10.96.0.10:7000": "hello", "198.51.100.7:3306": "mysql",
			net.JoinHostPort(catalog.Address().String(), "7000"): "hello",
		} {
			if got := firstLine(t, web, address, ""); got != want {
				t.Errorf("%s: %q, want %q", address, got, want)
			}
		}
		if got := firstLine(t, web, "10.96.0.10:9000", "\x01\x02raw\n"); got != "\x01\x02raw" {
			t.Errorf("raw: %q", got)
		}
	})
	t.Run("TLS of the app", func(t *testing.T) {
		c := web.HTTPClient()
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: m.authority.Bundle().Pool(), ServerName: "catalog"}
		if code, body, _ := call(t, c, "GET", "https://10.96.0.10/", nil); code != 200 || !strings.Contains(body, "app=tls") {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("no such port, no such Service", func(t *testing.T) {
		for _, url := range []string{"http://10.96.0.10:81/", "http://10.96.7.7/"} {
			start := time.Now()
			code, body, _ := call(t, client, "GET", url, nil)
			if code != 503 || time.Since(start) > 2*time.Second {
				t.Errorf("%s: %d %s after %s", url, code, body, time.Since(start))
			}
		}
	})
	t.Run("ports of the sidecar", func(t *testing.T) {
		for _, port := range []string{"15001", "15006"} {
			if got := firstLine(t, legacy, net.JoinHostPort(catalog.Address().String(), port), "GET / HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "error") {
				t.Errorf("%s: %q", port, got)
			}
		}
	})
	for name, e := range envoys {
		for _, stat := range []string{"cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected", "http.outbound.rds.outbound.update_rejected"} {
			if n, err := e.Stat(t.Context(), stat); err != nil || n != 0 {
				t.Errorf("%s: %s = %d, %v", name, stat, n, err)
			}
		}
	}
}
