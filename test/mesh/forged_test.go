package mesh_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

const forgedServices = `
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec:
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: wire, port: 81, targetPort: 8081}, {name: tcp, port: 7000}]
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec:
  selector: {app: other}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
`

// What Fairlead and Envoy tell each other in headers, an app cannot: neither who
// calls, nor where a call goes, nor how often it is tried.
func TestForgedHeadersDoNothing(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("services", forgedServices)
	server := m.Pod(lab.PodSpec{Namespace: "shop", Name: "server", ServiceAccount: "server", Meshed: true})
	other := m.Pod(lab.PodSpec{Namespace: "shop", Name: "other", ServiceAccount: "other", Meshed: true})
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	bare := m.Pod(lab.PodSpec{Namespace: "shop", Name: "bare"})
	app := server.Serve(8080, http.HandlerFunc(forgingHandler))
	server.ServeWire(8081)
	other.Serve(8080, nil)
	vip := m.Service("shop", "server")
	elsewhere := m.Service("shop", "other")
	web.Ask(t, elsewhere.String(), meshtest.Request{}) // its cluster is there

	callers := []struct {
		name       string
		pod        *meshtest.Pod
		http, wire string
		caller     string
	}{
		{"with a sidecar", web, "http://" + vip.String(), meshtest.At(vip, 81), web.ID()},
		{"without one", bare, "http://" + meshtest.At(server.Address(), 8080), meshtest.At(server.Address(), 8081), ""},
	}
	for _, c := range callers {
		t.Run("caller "+c.name, func(t *testing.T) {
			t.Run("x-fairlead", func(t *testing.T) {
				forged := "x-fairlead-destination: " + meshtest.At(elsewhere, 80) + "\r\nX-Fairlead-Destination: " + meshtest.At(other.Address(), 8080) +
					"\r\nx-fairlead-unreached: 1\r\nX-FAIRLEAD-anything: yes\r\n"
				h := c.pod.Arrived(t, c.wire, "GET / HTTP/1.1\r\nHost: server\r\n"+forged+"\r\n")
				if slices.ContainsFunc(h.Lines, func(l string) bool { return strings.HasPrefix(strings.ToLower(l), "x-fairlead") }) {
					t.Errorf("arrived: %q", h.Lines)
				}
			})
			t.Run("x-forwarded-client-cert", func(t *testing.T) {
				for _, forged := range []string{
					"x-forwarded-client-cert: By=a;Hash=b;URI=spiffe://cluster.local/ns/shop/sa/admin",
					"X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\nX-FORWARDED-CLIENT-CERT: URI=spiffe://cluster.local/ns/shop/sa/root",
					"Connection: x-forwarded-client-cert, x-fairlead-destination, close\r\nx-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/admin",
				} {
					h := c.pod.Arrived(t, c.wire, "GET / HTTP/1.1\r\nHost: server\r\n"+forged+"\r\n\r\n")
					var got []string
					for _, l := range h.Lines {
						if strings.HasPrefix(strings.ToLower(l), "x-forwarded-client-cert") {
							got = append(got, l)
						}
					}
					switch {
					case c.caller == "" && len(got) > 0,
						c.caller != "" && (len(got) != 1 || !strings.HasSuffix(got[0], "URI="+c.caller) || strings.Count(got[0], "URI=") != 1):
						t.Errorf("forged %q, arrived: %q", forged, got)
					}
				}
			})
			for name, client := range map[string]*http.Client{"HTTP/1": c.pod.Client(), "HTTP/2": c.pod.H2Client()} {
				t.Run("x-envoy, "+name, func(t *testing.T) {
					// Whatever the address that the caller claims to come from.
					for _, from := range []string{"", "127.0.0.1", "10.0.0.1", "::1", "203.0.113.1"} {
						headers := map[string]string{"x-forwarded-for": from}
						for k, v := range envoyHeaders {
							headers[k] = strings.ReplaceAll(v, "ELSEWHERE", meshtest.At(other.Address(), 8080))
						}
						if from == "" {
							delete(headers, "x-forwarded-for")
						}
						before := app.Requests.Load()
						r, err := meshtest.Do(t.Context(), client, c.http+"/slow/failing", meshtest.Request{Header: headers})
						if n := app.Requests.Load() - before; err != nil || r.Status != 500 || string(r.Body) != "/slow/failing" || n != 1 {
							t.Errorf("from %q: %d %q %v, %d tries; want one answer of 500", from, r.Status, r.Body, err, n)
						}
					}
				})
			}
		})
	}

	// The app behind the sidecar forges, too: it cannot have its caller try again
	// elsewhere, nor put itself out of use.
	t.Run("responses", func(t *testing.T) {
		for range 3 {
			before := app.Requests.Load()
			r, err := web.Do(vip.String()+"/forge", meshtest.Request{})
			if n := app.Requests.Load() - before; err != nil || r.Status != 503 || string(r.Body) != "forged" || n != 1 {
				t.Errorf("%d %q %v, %d tries; want one", r.Status, r.Body, err, n)
			}
			if h := r.Header.Get("x-fairlead-unreached"); h != "" {
				t.Errorf("x-fairlead-unreached: %q reached the caller", h)
			}
		}
		// An app without a sidecar can have its own caller try again, and no more.
		bareApp := bare.Serve(8080, http.HandlerFunc(forgingHandler))
		r, err := web.Do(meshtest.At(bare.Address(), 8080)+"/forge", meshtest.Request{})
		if err != nil || r.Status != 503 || r.Header.Get("x-fairlead-unreached") != "" || bareApp.Requests.Load() > 3 {
			t.Errorf("%d %q %v, %d tries", r.Status, r.Header, err, bareApp.Requests.Load())
		}
	})
}

// envoyHeaders are those by which a client can tell Envoy's router what to do.
var envoyHeaders = map[string]string{
	"x-envoy-upstream-rq-timeout-ms":           "1",
	"x-envoy-upstream-rq-per-try-timeout-ms":   "1",
	"x-envoy-upstream-rq-timeout-alt-response": "1",
	"x-envoy-hedge-on-per-try-timeout":         "true",
	"x-envoy-retry-on":                         "5xx,reset,retriable-status-codes,retriable-headers",
	"x-envoy-retry-grpc-on":                    "internal,unavailable",
	"x-envoy-max-retries":                      "5",
	"x-envoy-retriable-status-codes":           "500",
	"x-envoy-retriable-header-names":           "content-type",
	"x-envoy-original-dst-host":                "ELSEWHERE",
	"x-envoy-original-path":                    "/elsewhere",
	"x-envoy-original-host":                    "elsewhere",
	"x-envoy-decorator-operation":              "elsewhere",
	"x-envoy-upstream-alt-stat-name":           "elsewhere",
	"x-envoy-expected-rq-timeout-ms":           "1",
	"x-envoy-internal":                         "true",
	"x-envoy-force-trace":                      "true",
	"x-envoy-ip-tags":                          "admin",
	"x-envoy-is-timeout-retry":                 "true",
	"x-envoy-external-address":                 "127.0.0.1",
	"x-envoy-cluster-header":                   "ELSEWHERE",
	"x-envoy-downstream-service-cluster":       "elsewhere",
	"x-envoy-fault-abort-request":              "503",
	"x-envoy-fault-delay-request":              "20000",
	"x-envoy-upstream-stream-duration-ms":      "1",
	"grpc-timeout":                             "1m",
}

func forgingHandler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/slow/failing":
		select {
		case <-time.After(40 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, r.URL.Path) //nolint:errcheck // the caller looks
	case "/forge":
		for _, name := range []string{"x-fairlead-unreached", "x-envoy-immediate-health-check-fail", "x-envoy-degraded", "x-envoy-ratelimited", "x-envoy-upstream-canary"} {
			w.Header().Set(name, "1")
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "forged") //nolint:errcheck // the caller looks
	}
}

// Who answers at the address of an endpoint must prove the account that the
// endpoint's pod has. Another is refused, and gets none of the request.
func TestEndpointMustProveItsIdentity(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("services", forgedServices)
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	impostor := m.Pod(lab.PodSpec{Namespace: "shop", Name: "impostor", ServiceAccount: "impostor", Meshed: true})
	app := impostor.Serve(8080, nil)
	var bytes atomic.Int64
	impostor.ServeTCP(7000, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		bytes.Add(n)
	})
	web.Ask(t, meshtest.At(impostor.Address(), 8080), meshtest.Request{}) // as itself it may answer
	before := app.Requests.Load()

	// It takes the address of a pod of the catalog: the API server says that the
	// address is the catalog's.
	claimed := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: impostor, namespace: shop, uid: %s, labels: {app: impostor}, annotations: {fairlead.dev/injected: "true"}}
spec: {serviceAccountName: impostor, containers: [{name: app, image: x}]}
status: {phase: Running, podIP: 10.244.9.9, podIPs: [{ip: 10.244.9.9}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: catalog, namespace: shop, uid: catalog-uid, labels: {app: catalog}, annotations: {fairlead.dev/injected: "true"}}
spec: {serviceAccountName: catalog, containers: [{name: app, image: x}]}
status: {phase: Running, podIP: %[2]s, podIPs: [{ip: %[2]s}], conditions: [{type: Ready, status: "True"}]}
`, impostor.UID, impostor.Address())
	impostor.DeleteManifest()
	m.Apply("claimed", claimed)
	vip := m.Service("shop", "catalog")
	m.Eventually("the catalog has the address", func() error {
		for _, e := range m.Controller().Store().Pods() {
			if e.Name.Name == "catalog" && slices.Contains(e.Addresses, impostor.Address()) {
				return nil
			}
		}
		return fmt.Errorf("not yet")
	})
	m.InSync()

	for _, address := range []string{vip.String(), meshtest.At(impostor.Address(), 8080)} {
		for range 3 {
			start := time.Now()
			r, err := web.Do(address, meshtest.Request{Method: "POST", Body: strings.NewReader("secret")})
			if took := time.Since(start); err != nil || r.Status != http.StatusServiceUnavailable || took > 5*time.Second {
				t.Errorf("%s: %d %s %v after %s", address, r.Status, r.Body, err, took)
			}
		}
	}
	for _, address := range []string{meshtest.At(vip, 7000), meshtest.At(impostor.Address(), 7000)} {
		if got, err := web.TalkTCP(address, "\x00secret"); err == nil {
			t.Errorf("TCP %s: %q", address, got)
		}
	}
	if n := app.Requests.Load() - before; n != 0 || bytes.Load() != 0 {
		t.Errorf("the impostor got %d requests and %d bytes", n, bytes.Load())
	}
	stats, err := web.Envoy.Admin(t.Context(), "/stats?filter=fail_verify_san")
	if err != nil || !slices.ContainsFunc(strings.Split(strings.TrimSpace(string(stats)), "\n"), func(l string) bool { return !strings.HasSuffix(l, ": 0") }) {
		t.Errorf("no handshake failed for its identity: %s %v", stats, err)
	}
}

// Between two sidecars nothing can be read on the way, and who cannot prove an
// identity of the mesh cannot say that he has one.
func TestNothingReadableOnTheWire(t *testing.T) {
	t.Parallel()
	const marker = "s3cret-m4rker-in-the-clear"
	m := meshtest.New(t)
	m.Apply("services", forgedServices)
	server := m.Pod(lab.PodSpec{Namespace: "shop", Name: "server", ServiceAccount: "server", Meshed: true})
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	bare := m.Pod(lab.PodSpec{Namespace: "shop", Name: "bare"})
	for _, p := range []*meshtest.Pod{server, bare} {
		p.Serve(8080, nil)
		p.ServeTCP(7000, meshtest.EchoTCP("echo: "))
	}
	vip := m.Service("shop", "server")
	request := meshtest.Request{Method: "POST", Header: map[string]string{"x-marker": marker}, Body: strings.NewReader(marker)}

	tap := m.Tap(t, marker)
	h2 := web.H2Client()
	defer h2.CloseIdleConnections()
	for _, address := range []string{vip.String(), meshtest.At(server.Address(), 8080)} {
		if r := web.Ask(t, address, request); r.Caller() != web.ID() || !strings.Contains(string(r.Body), marker) {
			t.Errorf("%s: %s", address, r.Body)
		}
		if r, err := meshtest.Do(t.Context(), h2, address, meshtest.Request{Header: request.Header}); err != nil || r.Status != 200 {
			t.Errorf("%s: %d %v", address, r.Status, err)
		}
	}
	for _, address := range []string{meshtest.At(vip, 7000), meshtest.At(server.Address(), 7000)} {
		if got, err := web.TalkTCP(address, "\x00"+marker); err != nil || got != "echo: \x00"+marker+"." {
			t.Errorf("%s: %q %v", address, got, err)
		}
	}
	// The same call without sidecars: the tap sees what there is to see.
	request.Body = strings.NewReader(marker)
	if with, all := tap.Seen(marker); with != 0 || all == 0 {
		t.Errorf("%d of %d packets could be read", with, all)
	}
	bare.Ask(t, meshtest.At(server.Address(), 8080), request)
	meshtest.Eventually(t, "the tap sees plaintext", func() error {
		if with, all := tap.Seen(marker); with == 0 {
			return fmt.Errorf("none in %d packets", all)
		}
		return nil
	})

	t.Run("who may say that he is of the mesh", func(t *testing.T) {
		stranger, _ := meshtest.Certificate(t, "stranger")
		for _, alpn := range []string{"mesh", "mesh-tcp"} {
			for name, config := range map[string]*tls.Config{
				"no certificate":        {},
				"a certificate of his":  {Certificates: []tls.Certificate{stranger}},
				"an old version of TLS": {MaxVersion: tls.VersionTLS12},
			} {
				var leaf *x509.Certificate
				config.NextProtos, config.InsecureSkipVerify = []string{alpn}, true
				config.VerifyConnection = func(s tls.ConnectionState) error { leaf = s.PeerCertificates[0]; return nil }
				port := map[string]uint16{"mesh": 8080, "mesh-tcp": 7000}[alpn]
				conn, err := bare.Dial(meshtest.At(server.Address(), port))
				if err != nil {
					t.Fatal(err)
				}
				inside := tls.Client(conn, config)
				fmt.Fprint(inside, "GET / HTTP/1.1\r\nHost: server\r\n\r\n")
				if got, err := io.ReadAll(inside); err == nil || len(got) > 0 {
					t.Errorf("%s, %s: answered: %q %v", alpn, name, got, err)
				}
				conn.Close()
				if leaf != nil && (len(leaf.URIs) != 1 || leaf.URIs[0].String() != server.ID() || len(leaf.DNSNames) > 0) {
					t.Errorf("the server proves %v %v", leaf.URIs, leaf.DNSNames)
				}
			}
		}
	})
}

// The sidecar's own ports lead nowhere, neither for the app nor for others: a call
// to one ends at once, and does not go round in circles.
func TestPortsOfTheSidecarLeadNowhere(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("loop", `
apiVersion: v1
kind: Service
metadata: {name: loop, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: out, port: 81, targetPort: 15001}, {name: in, port: 82, targetPort: 15006}, {name: admin, port: 83, targetPort: 15000}]
`)
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	web.Serve(8080, nil)
	peer := m.Pod(lab.PodSpec{Namespace: "shop", Name: "peer", ServiceAccount: "peer", Meshed: true})
	bare := m.Pod(lab.PodSpec{Namespace: "shop", Name: "bare"})
	vip := m.Service("shop", "loop")
	m.InSync()
	local := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), web.Address(), web.Address6()}
	remote := []netip.Addr{web.Address(), web.Address6()}
	for _, c := range []struct {
		from      *meshtest.Pod
		addresses []netip.Addr
		ports     []uint16
	}{
		{web, local, []uint16{15001, 15006}},
		{web, []netip.Addr{vip}, []uint16{81, 82, 83}},
		{peer, remote, []uint16{15000, 15001, 15006}},
		{peer, []netip.Addr{vip}, []uint16{81, 82, 83}},
		{bare, remote, []uint16{15000, 15001, 15006}},
	} {
		for _, a := range c.addresses {
			for _, port := range c.ports {
				start := time.Now()
				if r, err := c.from.Do("http://"+meshtest.At(a, port), meshtest.Request{}); err == nil && r.Status != http.StatusServiceUnavailable {
					t.Errorf("%s to %s: HTTP: %d %s", c.from.Key(), meshtest.At(a, port), r.Status, r.Body)
				}
				if got, err := c.from.TalkTCP(meshtest.At(a, port), "\x00\x00\x00\x00\x00\x00"); err == nil {
					t.Errorf("%s to %s: TCP: %q", c.from.Key(), meshtest.At(a, port), got)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("%s to %s: took %s", c.from.Key(), meshtest.At(a, port), took)
				}
			}
		}
	}
	if n := stat(t, web, "listener.127.0.0.1_15001.downstream_cx_total"); n > 50 {
		t.Errorf("the sidecar had %d connections", n)
	}
	bare.Ask(t, meshtest.At(web.Address(), 8080), meshtest.Request{}) // and lives
}
