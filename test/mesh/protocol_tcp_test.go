package mesh_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// TCP of any kind goes through with mutual TLS around it; who speaks first, and who
// ends first, is the two ends' own business.
func TestTCPIsTwoWays(t *testing.T) {
	t.Parallel()
	m, client, server, _ := protocolMesh(t)
	address := m.Service("shop", "server")
	echo := meshtest.At(address, 7000)
	server.ServeTCP(7000, meshtest.EchoTCP("got: "))

	// Most first bytes rule HTTP out, and nothing waits.
	t.Run("client first", func(t *testing.T) {
		var took time.Duration
		for _, text := range []string{
			"\x00\x00\x00\x08\x04\xd2\x16\x2f", // PostgreSQL
			"*1\r\n$4\r\nPING\r\n",             // Redis
			"get foo\r\n",                      // memcached
			":\x00\x00\x00\x01\x00\x00\x00",    // MongoDB
			"AMQP\x00\x00\x09\x01", "\x10\x0e\x00\x04MQTT\x04", "SSH-2.0-OpenSSH_9\r\n", "{\"a\": 1}", "\xff\xfe", "hello\n",
			"OPTIONS icap://a/b ICAP/1.0\r\n\r\n",
		} {
			start := time.Now()
			if got, err := client.TalkTCP(echo, text); err != nil || got != "got: "+text+"." {
				t.Errorf("%q: %q %v", text, got, err)
			}
			took += time.Since(start)
		}
		if took > 5*time.Second {
			t.Errorf("11 connections took %s together", took)
		}
		if n := stat(t, server, "tcp.inbound-tcp.downstream_cx_total"); n != 11 {
			t.Errorf("%d of 11 connections came by mutual TLS", n)
		}
	})

	t.Run("client first, like HTTP, on a well-known port", func(t *testing.T) {
		server.ServeTCP(389, meshtest.EchoTCP("got: "))
		const bind = "0\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00" // LDAP, anonymous
		start := time.Now()
		if got, err := client.TalkTCP(meshtest.At(address, 389), bind); err != nil || got != "got: "+bind+"." {
			t.Errorf("%q %v", got, err)
		}
		if took := time.Since(start); took > 700*time.Millisecond {
			t.Errorf("the answer took %s", took)
		}
	})

	// Bytes that may still become an HTTP request wait for more, a second at most.
	t.Run("client first, like HTTP", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"GE", "JDWP-Handshake"} {
			if got, err := client.TalkTCP(echo, text); err != nil || got != "got: "+text+"." {
				t.Errorf("%q: %q %v", text, got, err)
			}
		}
	})

	// On a well-known port nothing is waited for.
	t.Run("server first", func(t *testing.T) {
		server.ServeTCP(3306, meshtest.Greet("5.7.0-mysql"))
		if took := greeted(t, client, meshtest.At(address, 3306), "5.7.0-mysql"); took > 700*time.Millisecond {
			t.Errorf("the greeting took %s", took)
		}
	})

	// A client that ends before its first bytes were looked at is cut off by Envoy's
	// inspectors. Where nothing is waited for, nothing is inspected: on the well-known
	// ports of such protocols (Graphite, syslog) and those that the mesh names, a client
	// may send and go at once.
	t.Run("send and go", func(t *testing.T) {
		got := make(chan string, 1)
		server.ServeTCP(2003, func(c net.Conn) {
			all, _ := io.ReadAll(c)
			got <- string(all)
		})
		for i := range 20 {
			conn, err := client.Dial(meshtest.At(address, 2003))
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("metric %d\n", i)
			fmt.Fprint(conn, want)
			conn.Close()
			select {
			case all := <-got:
				if all != want {
					t.Errorf("%q arrived of %q", all, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%q never arrived", want)
			}
		}
	})

	// On any other it takes a second: the sidecar waits that long for HTTP.
	t.Run("server first on a port that nobody listed", func(t *testing.T) {
		t.Parallel()
		server.ServeTCP(7001, meshtest.Greet("hello, I am shy"))
		if took := greeted(t, client, meshtest.At(address, 7001), "hello, I am shy"); took < 900*time.Millisecond || took > 4*time.Second {
			t.Errorf("the greeting took %s, want about 1 s", took)
		}
	})

	t.Run("the server ends first", func(t *testing.T) {
		rest := make(chan string, 1)
		server.ServeTCP(7002, func(c net.Conn) {
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(c, "last words to %s", line)
			meshtest.CloseWrite(c) //nolint:errcheck // the caller looks
			all, _ := io.ReadAll(in)
			rest <- string(all)
		})
		conn, err := client.Dial(meshtest.At(address, 7002))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintln(conn, "you")
		if all, err := io.ReadAll(conn); err != nil || string(all) != "last words to you\n" {
			t.Fatalf("until the server's end: %q %v", all, err)
		}
		// The other direction is still open.
		if _, err := io.Copy(conn, noise(5, 3<<20)); err != nil {
			t.Fatal(err)
		}
		if err := meshtest.CloseWrite(conn); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-rest:
			if len(got) != 3<<20 {
				t.Errorf("%d bytes arrived after the server's end", len(got))
			}
		case <-time.After(20 * time.Second):
			t.Error("the client's end never arrived")
		}
	})

	// What was cut off does not look whole.
	t.Run("reset", func(t *testing.T) {
		end := make(chan error, 1)
		server.ServeTCP(8443, func(c net.Conn) {
			in := bufio.NewReader(c)
			if line, err := in.ReadString('\n'); err != nil || line != "\x00hello\n" {
				return
			}
			fmt.Fprintln(c, "half of the answer")
			if line, err := in.ReadString('\n'); err != nil || line != "reset\n" {
				end <- err
				return
			}
			c.(*net.TCPConn).SetLinger(0) //nolint:errcheck // the caller looks
		})
		open := func() (*net.TCPConn, *bufio.Reader) {
			conn, err := client.Dial(meshtest.At(address, 8443))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(conn, "\x00hello")
			in := bufio.NewReader(conn)
			if line, err := in.ReadString('\n'); err != nil || line != "half of the answer\n" {
				t.Fatalf("%q %v", line, err)
			}
			return conn.(*net.TCPConn), in
		}
		conn, in := open()
		defer conn.Close()
		fmt.Fprintln(conn, "reset")
		if rest, err := io.ReadAll(in); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server resets: the client reads %q %v", rest, err)
		}
		conn, _ = open()
		conn.SetLinger(0) //nolint:errcheck // the server looks
		conn.Close()
		if err := <-end; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client resets: the server reads %v", err)
		}
	})

	t.Run("big both ways at a time", func(t *testing.T) {
		const size = 16 << 20
		server.ServeTCP(7003, func(c net.Conn) {
			got := make(chan string, 1)
			go func() { s, _, _ := sum(io.LimitReader(c, size)); got <- s }()
			io.Copy(c, noise(7, size)) //nolint:errcheck // the caller looks
			fmt.Fprint(c, <-got)
		})
		conn, err := client.Dial(meshtest.At(address, 7003))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			io.Copy(conn, noise(6, size)) //nolint:errcheck // the sum tells
			meshtest.CloseWrite(conn)     //nolint:errcheck // the sum tells
		}()
		wantUp, _, _ := sum(noise(6, size))
		wantDown, _, _ := sum(noise(7, size))
		if got, _, err := sum(io.LimitReader(conn, size)); err != nil || got != wantDown {
			t.Errorf("what came back differs: %v", err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != wantUp {
			t.Errorf("what arrived differs: %s %v", got, err)
		}
	})

	// Nobody listens: the connection ends at once.
	t.Run("refused", func(t *testing.T) {
		start := time.Now()
		if got, err := client.TalkTCP(meshtest.At(address, 9000), "\x00"); err == nil && got != "" {
			t.Errorf("somebody answered: %q", got)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// greeted connects, says nothing, and returns how long the server's first line
// took. It then says something.
func greeted(t *testing.T, p *meshtest.Pod, address, greeting string) time.Duration {
	t.Helper()
	start := time.Now()
	conn, err := p.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != greeting+"\n" {
		t.Fatalf("greeting: %q %v", line, err)
	}
	took := time.Since(start)
	fmt.Fprintln(conn, "and you")
	if line, err := in.ReadString('\n'); err != nil || line != "and you\n" {
		t.Errorf("answer: %q %v", line, err)
	}
	return took
}

func stat(t *testing.T, p *meshtest.Pod, name string) int64 {
	t.Helper()
	n, err := p.Envoy.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TLS that an app makes itself is its own, from end to end: its certificate, its
// ALPN. The mesh carries it inside its own.
func TestTLSOfTheAppStaysItsOwn(t *testing.T) {
	t.Parallel()
	m, client, server, bare := protocolMesh(t)
	cert, pool := meshtest.Certificate(t, "server.example")
	for _, p := range []*meshtest.Pod{server, bare} {
		l, err := p.Listen("tcp", ":8443")
		if err != nil {
			t.Fatal(err)
		}
		app := &http.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}, ClientAuth: tls.RequestClientCert},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s as %s, %d certificates, XFCC %q", r.Proto, r.TLS.NegotiatedProtocol, len(r.TLS.PeerCertificates), r.Header.Get("x-forwarded-client-cert"))
			}),
		}
		t.Cleanup(func() { app.Close() })
		go app.ServeTLS(l, "", "") //nolint:errcheck // it ends with the test
	}
	mine, _ := meshtest.Certificate(t, "client.example")
	ask := func(t *testing.T, p *meshtest.Pod, url, protocol, want string) {
		t.Helper()
		config := &tls.Config{RootCAs: pool, ServerName: "server.example", Certificates: []tls.Certificate{mine}, NextProtos: []string{protocol}}
		c := p.TLSClient(config)
		if protocol == "http/1.1" {
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		}
		defer c.CloseIdleConnections()
		r, err := meshtest.Do(t.Context(), c, url, meshtest.Request{})
		if err != nil || string(r.Body) != want {
			t.Errorf("%s: %q %v", protocol, r.Body, err)
		}
	}
	const h1 = `HTTP/1.1 as http/1.1, 1 certificates, XFCC ""`
	const h2 = `HTTP/2.0 as h2, 1 certificates, XFCC ""`
	vip, vipBare := "https://"+meshtest.At(m.Service("shop", "server"), 8443), "https://"+meshtest.At(m.Service("shop", "bare"), 8443)

	t.Run("between sidecars", func(t *testing.T) {
		ask(t, client, vip, "h2", h2)
		ask(t, client, vip, "http/1.1", h1)
		if n := stat(t, server, "tcp.inbound-tcp.downstream_cx_total"); n != 2 {
			t.Errorf("%d of 2 connections came inside mutual TLS", n)
		}
	})
	t.Run("to a server without a sidecar", func(t *testing.T) {
		ask(t, client, vipBare, "h2", h2)
		ask(t, client, vipBare, "http/1.1", h1)
	})
	t.Run("from a client without a sidecar", func(t *testing.T) {
		ask(t, bare, "https://"+meshtest.At(server.Address(), 8443), "h2", h2)
		ask(t, bare, "https://"+meshtest.At(server.Address(), 8443), "http/1.1", h1)
		if n := stat(t, server, "tcp.inbound-tls.downstream_cx_total"); n != 2 {
			t.Errorf("%d of 2 connections came as the app's own TLS", n)
		}
	})
	// PostgreSQL and others start in the clear and go over to TLS later.
	t.Run("started later", func(t *testing.T) {
		server.ServeTCP(7000, func(c net.Conn) {
			if line, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil || line != "STARTTLS\n" {
				return
			}
			fmt.Fprint(c, "S")
			inside := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			defer inside.Close()
			text, _ := io.ReadAll(inside)
			fmt.Fprintf(inside, "inside: %s", text)
		})
		conn, err := client.Dial(meshtest.At(m.Service("shop", "server"), 7000))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintln(conn, "STARTTLS")
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		inside := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "server.example"})
		fmt.Fprint(inside, "secret")
		if err := inside.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(inside); err != nil || !strings.HasSuffix(string(got), "inside: secret") {
			t.Errorf("%q %v", got, err)
		}
	})
}
