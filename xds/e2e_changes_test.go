package xds_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/xds/ads"
)

func service(name, ip, extra string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec:
  clusterIP: %s
  selector: {app: %s}
  ports: [{port: 80, targetPort: 8080}]
  %s
`, name, ip, name, extra)
}

const kubernetes = `
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec:
  clusterIP: 10.96.0.1
  ports: [{port: 443, targetPort: 6443}]
`

// load calls a URL from many goroutines until it is stopped.
type load struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	calls  int
	errors map[string]int
}

func startLoad(p *lab.Pod, url string) *load {
	l := &load{stop: make(chan struct{}), errors: map[string]int{}}
	for range 4 {
		l.wg.Go(func() {
			c := p.HTTPClient()
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				l.note(get(c, url))
			}
		})
	}
	return l
}

func get(c *http.Client, url string) string {
	resp, err := c.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != 200 {
		return fmt.Sprint(resp.StatusCode, " ", string(body))
	}
	return ""
}

func (l *load) note(err string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if err != "" {
		l.errors[err]++
	}
}

// waitCalls waits for n more calls.
func (l *load) waitCalls(t *testing.T, n int) {
	t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.calls }
	start := count()
	eventually(t, "more calls", func() bool { return count() >= start+n })
}

func (l *load) end(t *testing.T, what string) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	t.Logf("%s: %d calls", what, l.calls)
	if len(l.errors) > 0 {
		t.Errorf("%s: %v", what, l.errors)
	}
}

// Changes under load: no call fails that could have been answered.
func TestLiveChanges(t *testing.T) {
	m := newLive(t, liveSettings())
	web := m.pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	newApp := func(name, app string) *lab.Pod {
		p := m.pod(lab.PodSpec{Namespace: "shop", Name: name, ServiceAccount: app, Labels: map[string]string{"app": app}, Meshed: true})
		m.listen(p, 8080, func(l net.Listener) { http.Serve(l, echo(name)) })
		return p
	}
	one, two := newApp("a-1", "a"), newApp("a-2", "a")
	newApp("b-1", "b")
	api := m.pod(lab.PodSpec{Namespace: "kube-system", Name: "api", ExtraAddresses: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("203.0.113.9")}})
	m.listen(api, 443, greet("the API server"))
	m.listen(api, 8080, func(l net.Listener) { http.Serve(l, echo("outside")) })
	services := service("a", "10.96.0.10", "") + service("b", "10.96.0.20", "") + kubernetes
	m.apply(services)
	m.start()
	client := web.HTTPClient()

	t.Run("the API server", func(t *testing.T) {
		if got := firstLine(t, web, "10.96.0.1:443", "\x16\x03\x01 hello\n"); got != "the API server" {
			t.Errorf("%q", got)
		}
		for _, s := range m.server.Proxies() {
			d, err := m.server.Proxy(s.ID)
			if err != nil || strings.Contains(fmt.Sprintf("%+v", d.Resources), "10.96.0.1:443") {
				t.Errorf("a sidecar asked for the API server: %v", err)
			}
		}
	})
	t.Run("outside", func(t *testing.T) {
		code, body, _ := call(t, client, "GET", "http://203.0.113.9:8080/", func(r *http.Request) { r.Header.Set("x-fairlead-test", "1") })
		if code != 200 || !strings.Contains(body, "app=outside") || !strings.Contains(body, "X-Fairlead-Test") {
			t.Errorf("%d %s", code, body) // untouched: not even these headers
		}
	})
	t.Run("no connection is drained by a new external address", func(t *testing.T) {
		conn, err := web.DialContext(t.Context(), "tcp", "10.96.0.10:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		ask := func() *http.Response {
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			return resp
		}
		ask()
		m.apply(service("a", "10.96.0.10", "externalIPs: [203.0.113.9]") + service("b", "10.96.0.20", "") + kubernetes)
		eventually(t, "the external address means the Service", func() bool {
			return get(client, "http://203.0.113.9/") == ""
		})
		if resp := ask(); resp.Close {
			t.Error("connection: close")
		}
		// Other ports of the address are not the Service's.
		if _, body, _ := call(t, client, "GET", "http://203.0.113.9:8080/", nil); !strings.Contains(body, "app=outside") {
			t.Error(body)
		}
		m.apply(services)
	})
	t.Run("endpoints and the cluster change", func(t *testing.T) {
		l := startLoad(web, "http://10.96.0.10/")
		for i := range 6 {
			l.waitCalls(t, 100)
			m.apply(service("a", "10.96.0.10", []string{"", "sessionAffinity: ClientIP"}[i%2]) + service("b", "10.96.0.20", "") + kubernetes)
			l.waitCalls(t, 100)
			m.without(two, func() { m.apply(services) })
			l.waitCalls(t, 100)
			m.apply(services)
		}
		l.end(t, "endpoints and cluster")
		if s := m.server.Stats(); s.Nacks+s.AfterTimeouts != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("an endpoint refuses connections", func(t *testing.T) {
		m.listen(one, 7070, func(l net.Listener) { http.Serve(l, echo("a-1")) })
		refusing := strings.Replace(service("a", "10.96.0.30", ""), "name: a,", "name: half,", 1)
		m.apply(services + strings.Replace(refusing, "8080", "7070", 1))
		for i := range 40 {
			if code, body, _ := call(t, client, "POST", "http://10.96.0.30/", nil); code != 200 {
				t.Errorf("call %d: %d %s", i, code, body)
			}
		}
	})
	t.Run("affinity", func(t *testing.T) {
		m.apply(service("a", "10.96.0.10", "sessionAffinity: ClientIP") + service("b", "10.96.0.20", "") + kubernetes)
		eventually(t, "one endpoint", func() bool {
			seen := map[string]bool{}
			for range 12 {
				_, body, _ := call(t, web.HTTPClient(), "GET", "http://10.96.0.10/", nil)
				app, _, _ := strings.Cut(body, "\n")
				seen[app] = true
			}
			return len(seen) == 1
		})
		m.apply(services)
	})
	t.Run("a stream of a removed endpoint ends by itself", func(t *testing.T) {
		slow := m.pod(lab.PodSpec{Namespace: "shop", Name: "slow", ServiceAccount: "slow", Labels: map[string]string{"app": "slow"}})
		finish := make(chan struct{})
		m.listen(slow, 8080, func(l net.Listener) {
			http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				<-finish
				io.WriteString(w, "done")
			}))
		})
		m.apply(services + service("slow", "10.96.0.40", ""))
		resp, err := client.Get("http://10.96.0.40/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		m.without(slow, func() { m.apply(services + service("slow", "10.96.0.40", "")) })
		m.acked(ads.Key{Type: ads.Endpoint, Name: "shop/slow:80"})
		if got := get(web.HTTPClient(), "http://10.96.0.40/"); !strings.HasPrefix(got, "503") {
			t.Errorf("after its end: %s", got)
		}
		close(finish)
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "done" {
			t.Errorf("%s %v %q %v", resp.Status, resp.Header, body, err)
		}
	})
	t.Run("a Service goes, its address is taken by another, it comes back", func(t *testing.T) {
		m.apply(service("b", "10.96.0.20", "") + kubernetes)
		eventually(t, "503", func() bool {
			start := time.Now()
			return strings.HasPrefix(get(client, "http://10.96.0.10/"), "503") && time.Since(start) < time.Second
		})
		m.apply(service("b", "10.96.0.10", "") + kubernetes)
		eventually(t, "b", func() bool {
			_, body, _ := call(t, client, "GET", "http://10.96.0.10/", nil)
			return strings.Contains(body, "app=b-1")
		})
		m.apply(services)
		eventually(t, "a", func() bool {
			_, body, _ := call(t, client, "GET", "http://10.96.0.10/", nil)
			return strings.Contains(body, "app=a-")
		})
	})
	if s := m.server.Stats(); s.Nacks != 0 {
		t.Errorf("%+v", s)
	}
}

// acked waits until every sidecar has acknowledged the present version.
func (m *live) acked(keys ...ads.Key) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	if err := m.server.WaitAcked(ctx, keys...); err != nil {
		m.t.Fatal(err)
	}
}

// without calls f while a pod is not among the manifests.
func (m *live) without(p *lab.Pod, f func()) {
	m.mu.Lock()
	all := m.pods
	m.pods = nil
	for _, o := range all {
		if o != p {
			m.pods = append(m.pods, o)
		}
	}
	m.mu.Unlock()
	f()
	m.mu.Lock()
	m.pods = all
	m.mu.Unlock()
}
