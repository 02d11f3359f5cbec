package mesh_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// protocolMesh is a client and a server with sidecars, a server without one
// (bare), and a Service for each server with all of its ports.
func protocolMesh(t *testing.T) (m *meshtest.Mesh, client, server, bare *meshtest.Pod) {
	t.Helper()
	m = meshtest.New(t)
	for _, name := range []string{"server", "bare"} {
		m.Apply(name, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop}
spec:
  selector: {app: %[1]s}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: wire, port: 81, targetPort: 8081}
  - {name: grpc, port: 9000}
  - {name: echo, port: 7000}
  - {name: mysql, port: 3306}
  - {name: shy, port: 7001}
  - {name: talk, port: 7002}
  - {name: flood, port: 7003}
  - {name: https, port: 8443}
  - {name: graphite, port: 2003}
  - {name: ldap, port: 389}
  - {name: proxy, port: 3128}
`, name))
	}
	server = m.Pod(lab.PodSpec{Namespace: "shop", Name: "server", ServiceAccount: "server", Meshed: true})
	client = m.Pod(lab.PodSpec{Namespace: "shop", Name: "client", ServiceAccount: "client", Meshed: true})
	bare = m.Pod(lab.PodSpec{Namespace: "shop", Name: "bare"})
	m.Serving("shop", "server", 1)
	m.Serving("shop", "bare", 1)
	return m, client, server, bare
}

// What an app reads of a request is what its caller wrote. The two exceptions are
// the server's sidecar's: it resolves dot segments and the spellings of one path
// (RFC 3986, section 6.2.2), so that rules on paths cannot be tricked, and it says
// who called.
func TestRequestArrivesAsSent(t *testing.T) {
	t.Parallel()
	m, client, server, bare := protocolMesh(t)
	server.ServeWire(8081)
	bare.ServeWire(8081)
	wire := meshtest.At(m.Service("shop", "server"), 81)
	wireBare := meshtest.At(m.Service("shop", "bare"), 81)

	t.Run("path", func(t *testing.T) {
		long := "/" + strings.Repeat("long/", 10_000)
		for _, c := range []struct{ sent, arrived string }{
			{"/", "/"},
			{"/a/", "/a/"},
			{"/a%2Fb%2f", "/a%2Fb%2f"}, // an encoded slash is no slash
			{"//a//b//", "//a//b//"},
			{"/a;v=1/b;c", "/a;v=1/b;c"},
			{"/a%5Cb%20c+d", "/a%5Cb%20c+d"},
			{"/%e3%81%82/%C3%A9", "/%e3%81%82/%C3%A9"},
			{"/caf\xc3\xa9", "/caf\xc3\xa9"},
			{"/a%zz%", "/a%zz%"},
			{"/a?", "/a?"},
			{"/a?b?c/../d=//&e=%2F;f", "/a?b?c/../d=//&e=%2F;f"},
			{long, long},
			// What the server's sidecar makes the same:
			{"/a/./b/../c", "/a/c"},
			{"/a/%2e%2e/c", "/c"},
			{"/a/..;/c", "/c"},
			{"/../../a", "/a"},
			{`/a\b`, "/a/b"},
			{"/%7Euser/%41", "/~user/A"},
			{"/\"<>{}|^`", "/%22%3C%3E%7B%7D%7C%5E%60"},
		} {
			request := "GET " + c.sent + " HTTP/1.1\r\nHost: server\r\n\r\n"
			if got := client.Arrived(t, wireBare, request).Target(); got != c.sent {
				t.Errorf("without a sidecar at the server: sent %.80q, arrived %.80q", c.sent, got)
			}
			if got := client.Arrived(t, wire, request).Target(); got != c.arrived {
				t.Errorf("sent %.80q, arrived %.80q, want %.80q", c.sent, got, c.arrived)
			}
		}
	})

	// A fragment has no place in a request (RFC 9112, section 3.2), nor has NUL in a
	// path: refused, not guessed at.
	t.Run("path that is none", func(t *testing.T) {
		for _, path := range []string{"/a#b", "/a?b#c", "/a%00b"} {
			h, body, err := client.Wire(wire, "GET "+path+" HTTP/1.1\r\nHost: server\r\n\r\n")
			if err != nil || !strings.Contains(h.First, " 400 ") {
				t.Errorf("%s: %s %.200s %v", path, h.First, body, err)
			}
		}
		// Envoy has no route for the server as a whole.
		if h, _, err := client.Wire(wire, "OPTIONS * HTTP/1.1\r\nHost: server\r\n\r\n"); err != nil || !strings.Contains(h.First, " 404 ") {
			t.Errorf("OPTIONS *: %s %v", h.First, err)
		}
	})

	t.Run("host", func(t *testing.T) {
		for _, host := range []string{"server", "Server.Shop.svc.cluster.local:81", "www.example.com", "10.1.2.3:99", "[::1]", "a_b", "bare.shop"} {
			if got := client.Arrived(t, wire, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n").Get("host"); got != host {
				t.Errorf("Host %q arrived as %q", host, got)
			}
		}
	})

	// The absolute form names the host again, and that one counts (RFC 9112,
	// section 3.2.2). The app gets it in the usual form.
	t.Run("absolute form", func(t *testing.T) {
		h := client.Arrived(t, wire, "GET http://www.example.com:8000/p?q=1 HTTP/1.1\r\nHost: other\r\n\r\n")
		if h.First != "GET /p?q=1 HTTP/1.1" || h.Get("host") != "www.example.com:8000" {
			t.Errorf("arrived: %s, Host %s", h.First, h.Get("host"))
		}
	})

	t.Run("header", func(t *testing.T) {
		sent := []string{
			"x-upper: Value With  Spaces", "x-twice: a", "x-twice: b", "x-empty:", "x_underscore: 1", "x-binary: \x80\xff",
			"user-agent: test", "accept-encoding: gzip", "te: trailers", "via: 1.1 other", "cookie: a=b; c=d",
			"authorization: Bearer abc", "proxy-authorization: Basic x", "date: Sun, 06 Nov 1994 08:49:37 GMT",
			"x-forwarded-for: 192.0.2.1, 10.0.0.1", "x-forwarded-proto: https", "x-forwarded-host: www.example.com", "forwarded: for=192.0.2.1",
			"x-request-id: abc", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-b3-traceid: 1", "grpc-timeout: 1S",
		}
		request := "GET / HTTP/1.1\r\nHost: server\r\n" + strings.Join(sent, "\r\n") + "\r\nConnection: TE\r\n\r\n"
		got := fields(client.Arrived(t, wire, request))
		want := fields(meshtest.Head{Lines: append(sent, "host: server")})
		got = slices.DeleteFunc(got, func(l string) bool { return strings.HasPrefix(l, "x-forwarded-client-cert:") })
		if !slices.Equal(got, want) {
			t.Errorf("sent\n%q\narrived\n%q", want, got)
		}
	})

	// What is added where the caller says nothing: only these two.
	t.Run("added header", func(t *testing.T) {
		h := client.Arrived(t, wire, "GET / HTTP/1.1\r\nHost: server\r\n\r\n")
		if len(h.Lines) != 3 || h.Get("x-forwarded-proto") != "http" || !strings.Contains(h.Get("x-forwarded-client-cert"), "URI="+client.ID()) {
			t.Errorf("arrived: %q", h.Lines)
		}
	})

	t.Run("method", func(t *testing.T) {
		for _, method := range []string{"GET", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "PURGE", "MKCALENDAR"} {
			if h := client.Arrived(t, wire, method+" /x HTTP/1.1\r\nHost: server\r\n\r\n"); !strings.HasPrefix(h.First, method+" /x ") {
				t.Errorf("%s arrived as %q", method, h.First)
			}
		}
	})

	// Headers of 59 KiB together and 95 in number arrive; more is answered with a 431.
	t.Run("large header", func(t *testing.T) {
		fits := client.Arrived(t, wire, "GET / HTTP/1.1\r\nHost: server\r\nx-large: "+strings.Repeat("x", 58<<10)+"\r\n\r\n")
		if n := len(fits.Get("x-large")); n != 58<<10 {
			t.Errorf("%d bytes arrived", n)
		}
		many := client.Arrived(t, wire, "GET / HTTP/1.1\r\nHost: server\r\n"+strings.Repeat("x-many: x\r\n", 95)+"\r\n")
		if len(many.Lines) < 96 {
			t.Errorf("%d header fields arrived", len(many.Lines))
		}
		for _, lines := range []string{"x-large: " + strings.Repeat("x", 61<<10) + "\r\n", strings.Repeat("x-many: x\r\n", 101)} {
			h, _, err := client.Wire(wire, "GET / HTTP/1.1\r\nHost: server\r\n"+lines+"\r\n")
			if err != nil || !strings.Contains(h.First, " 431 ") {
				t.Errorf("%.20q...: %s %v", lines, h.First, err)
			}
		}
	})
}

// fields are the header fields of h with the case of their names taken away, sorted.
func fields(h meshtest.Head) []string {
	var out []string
	for _, l := range h.Lines {
		name, value, _ := strings.Cut(l, ":")
		out = append(out, strings.ToLower(name)+": "+strings.TrimSpace(value))
	}
	slices.Sort(out)
	return out
}

// Old, rare and odd HTTP works as it does without a mesh.
func TestHTTPOfAllKinds(t *testing.T) {
	t.Parallel()
	m, client, server, _ := protocolMesh(t)
	server.ServeWire(8081)
	server.Serve(8080, http.HandlerFunc(oddHandler))
	wire := meshtest.At(m.Service("shop", "server"), 81)
	odd := m.Service("shop", "server").String()

	t.Run("HTTP/1.0", func(t *testing.T) {
		h, body, err := client.Wire(wire, "GET /old HTTP/1.0\r\n\r\n")
		if err != nil || h.First != "HTTP/1.0 200 OK" || !strings.HasPrefix(string(body), "GET /old ") {
			t.Errorf("%s %s %v", h.First, body, err)
		}
		h, _, err = client.Wire(wire, "GET /old HTTP/1.0\r\nHost: me\r\nConnection: keep-alive\r\n\r\n")
		if err != nil || h.Get("connection") != "keep-alive" {
			t.Errorf("%s %s %v", h.First, h.Lines, err)
		}
		// A caller that old knows no chunks: the end of the connection is the end.
		h, body, err = client.Wire(meshtest.At(m.Service("shop", "server"), 80), "GET /chunked HTTP/1.0\r\nHost: me\r\n\r\n")
		if err != nil || h.Get("transfer-encoding") != "" || string(body) != "part 0 part 1 part 2 " {
			t.Errorf("%q %q %v", h, body, err)
		}
	})

	t.Run("pipelining", func(t *testing.T) {
		conn, err := client.Dial(wire)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
		in := bufio.NewReader(conn)
		for i := range 3 {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if want := fmt.Sprintf("GET /%d ", i+1); err != nil || !strings.HasPrefix(string(body), want) {
				t.Errorf("answer %d: %q %v", i+1, body, err)
			}
		}
	})

	// Java's and Apache's clients offer these with their first request. A server may
	// ignore the offer (RFC 9110, section 7.8), and must not refuse the request.
	t.Run("upgrade that nobody needs", func(t *testing.T) {
		for _, lines := range []string{
			"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n",
			"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
			"Connection: Upgrade\r\nUpgrade: TLS/1.2, TLS/1.3\r\n",
		} {
			h := client.Arrived(t, wire, "GET / HTTP/1.1\r\nHost: a\r\n"+lines+"\r\n")
			if h.Get("upgrade") != "" {
				t.Errorf("%q: arrived: %q", lines, h.Lines)
			}
		}
	})

	t.Run("HEAD", func(t *testing.T) {
		r, err := client.Do(odd+"/sized", meshtest.Request{Method: http.MethodHead})
		if err != nil || r.Status != 200 || r.Header.Get("content-length") != "12345" || len(r.Body) != 0 {
			t.Errorf("%d %v %q %v", r.Status, r.Header, r.Body, err)
		}
	})

	for name, c := range map[string]*http.Client{"HTTP/1": client.Client(), "HTTP/2": client.H2Client()} {
		// 59 KiB in one direction and in the other.
		t.Run(name+" large header", func(t *testing.T) {
			large := map[string]string{"x-large": strings.Repeat("x", 58<<10)}
			r, err := meshtest.Do(t.Context(), c, odd+"/large?n=59392", meshtest.Request{Header: large})
			if err != nil || r.Status != 200 || len(r.Header.Get("x-large")) != 58<<10 || string(r.Body) != "59392" {
				t.Errorf("%d, %d bytes in the header, %.100q, %v", r.Status, len(r.Header.Get("x-large")), r.Body, err)
			}
		})

		t.Run(name+" chunked and trailers", func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+odd+"/trailers", io.MultiReader(strings.NewReader("abc"), strings.NewReader("def")))
			if err != nil {
				t.Fatal(err)
			}
			req.Trailer = http.Header{"X-Sum": {"6"}}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != name+": 6 bytes, X-Sum 6" || resp.Trailer.Get("X-Status") != "done" {
				t.Errorf("%q, trailers %v, %v", body, resp.Trailer, err)
			}
		})

		// A server that will not have the body says so before it is sent.
		t.Run(name+" Expect: 100-continue", func(t *testing.T) {
			c.Transport.(*http.Transport).ExpectContinueTimeout = 20 * time.Second
			for path, want := range map[string]struct{ status, sent int }{"/refuse": {413, 0}, "/accept": {200, 100_000}} {
				body := &counter{left: 100_000}
				r, err := meshtest.Do(t.Context(), c, odd+path, meshtest.Request{Method: "POST", Header: map[string]string{"Expect": "100-continue"}, Body: body})
				if err != nil || r.Status != want.status || body.read != want.sent {
					t.Errorf("%s: %d, %d bytes of body sent, %v", path, r.Status, body.read, err)
				}
			}
		})

		t.Run(name+" 103 Early Hints", func(t *testing.T) {
			var hints []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, " ", h.Get("link")))
				return nil
			}})
			r, err := meshtest.Do(ctx, c, odd+"/hints", meshtest.Request{})
			if err != nil || r.Status != 200 || !slices.Equal(hints, []string{"103 </style.css>"}) {
				t.Errorf("%d, hints %q, %v", r.Status, hints, err)
			}
		})
	}

	// After the switch the bytes are the two ends' own.
	t.Run("upgrade", func(t *testing.T) {
		server.ServeTCP(7000, func(c net.Conn) {
			in := bufio.NewReader(c)
			h, err := meshtest.ReadHead(in)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", h.Get("upgrade"))
			io.Copy(c, in) //nolint:errcheck // the caller looks
		})
		for _, protocol := range []string{"websocket", "tcp", "SPDY/3.1"} {
			conn, err := client.Dial(meshtest.At(m.Service("shop", "server"), 7000))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
			in := bufio.NewReader(conn)
			if h, err := meshtest.ReadHead(in); err != nil || !strings.Contains(h.First, " 101 ") || h.Get("upgrade") != protocol {
				t.Errorf("%s: %q %v", protocol, h, err)
				continue
			}
			fmt.Fprint(conn, "\x00\x01\n")
			if line, err := in.ReadString('\n'); err != nil || line != "\x00\x01\n" {
				t.Errorf("%s: %q %v", protocol, line, err)
			}
		}
	})

	// An HTTP proxy in the cluster.
	t.Run("CONNECT", func(t *testing.T) {
		server.ServeTCP(3128, func(c net.Conn) {
			in := bufio.NewReader(c)
			h, err := meshtest.ReadHead(in)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 Connected\r\n\r\n%s\n", h.First)
			io.Copy(c, in) //nolint:errcheck // the caller looks
		})
		conn, err := client.Dial(meshtest.At(m.Service("shop", "server"), 3128))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n")
		in := bufio.NewReader(conn)
		h, err := meshtest.ReadHead(in)
		if err != nil || !strings.Contains(h.First, " 200 ") {
			t.Fatalf("%s %v", h.First, err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "CONNECT www.example.com:443 HTTP/1.1\n" {
			t.Errorf("%q %v", line, err)
		}
		fmt.Fprint(conn, "through\n")
		if line, err := in.ReadString('\n'); err != nil || line != "through\n" {
			t.Errorf("%q %v", line, err)
		}
	})
}

// counter is a body that knows how much of it was asked for.
type counter struct{ left, read int }

func (c *counter) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), c.left)
	c.left -= n
	c.read += n
	return n, nil
}

// oddHandler does what HTTP allows and few apps do.
func oddHandler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/sized":
		w.Header().Set("content-length", "12345")
	case "/large":
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("x-large", strings.Repeat("x", n))
		fmt.Fprint(w, len(r.Header.Get("x-large")))
	case "/chunked":
		for i := range 3 {
			fmt.Fprintf(w, "part %d ", i)
			http.NewResponseController(w).Flush() //nolint:errcheck // the caller looks
		}
	case "/trailers":
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("trailer", "X-Status")
		fmt.Fprintf(w, "%s: %d bytes, X-Sum %s", strings.TrimSuffix(strings.TrimSuffix(r.Proto, ".1"), ".0"), n, r.Trailer.Get("X-Sum"))
		w.Header().Set("X-Status", "done")
	case "/refuse":
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	case "/accept":
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the caller looks
	case "/hints":
		w.Header().Set("link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	}
}
