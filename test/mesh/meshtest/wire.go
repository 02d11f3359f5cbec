package meshtest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// Head is the start of an HTTP/1 request or response as it stood on the wire.
type Head struct {
	// First is the request line or the status line.
	First string
	// Lines are the header fields in their order, with the case of their names.
	Lines []string
}

// Get returns the value of the first field of that name, in any case; "" if there
// is none.
func (h Head) Get(name string) string {
	for _, l := range h.Lines {
		if n, v, _ := strings.Cut(l, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Target is what stands between the method and the version.
func (h Head) Target() string {
	_, rest, _ := strings.Cut(h.First, " ")
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		return rest[:i]
	}
	return rest
}

// ReadHead reads up to the empty line.
func ReadHead(in *bufio.Reader) (Head, error) {
	var h Head
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return h, err
		}
		switch line = strings.TrimRight(line, "\r\n"); {
		case line == "":
			return h, nil
		case h.First == "":
			h.First = line
		default:
			h.Lines = append(h.Lines, line)
		}
	}
}

// ServeWire runs an HTTP/1 app on the port that answers with the head of each
// request as it arrived, byte by byte, in the body. It reads no bodies.
func (p *Pod) ServeWire(port int) {
	p.ServeTCP(port, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			h, err := ReadHead(in)
			if err != nil {
				return
			}
			body := h.First + "\n" + strings.Join(h.Lines, "\n") + "\n\n"
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
		}
	})
}

// Wire sends bytes to an address (host:port) from inside the pod and reads one
// HTTP/1 response. The error is that there was none.
func (p *Pod) Wire(address, request string) (Head, []byte, error) {
	conn, err := p.Dial(address)
	if err != nil {
		return Head{}, nil, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		return Head{}, nil, err
	}
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &raw))
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return Head{}, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Head{}, nil, fmt.Errorf("reading the body: %w", err)
	}
	h, err := ReadHead(bufio.NewReader(&raw))
	return h, body, err
}

// Arrived sends a request to an app of ServeWire and returns what it says has
// arrived. Anything but a 200 fails the test.
func (p *Pod) Arrived(t testing.TB, address, request string) Head {
	t.Helper()
	h, body, err := p.Wire(address, request)
	if err != nil {
		t.Fatalf("%.200q: %v", request, err)
	}
	if !strings.Contains(h.First, " 200 ") {
		t.Fatalf("%.200q: %s: %.300s", request, h.First, body)
	}
	arrived, err := ReadHead(bufio.NewReader(bytes.NewReader(body)))
	if err != nil {
		t.Fatalf("%.200q: the app's answer is none: %q", request, body)
	}
	return arrived
}

// Ask is Do; whatever goes wrong, and any status but 200, fails t.
func (p *Pod) Ask(t testing.TB, url string, r Request) Response {
	t.Helper()
	resp, err := p.Do(url, r)
	if err != nil {
		t.Fatalf("%s from %s: %v", url, p.Key(), err)
	}
	if resp.Status != http.StatusOK {
		t.Fatalf("%s from %s: %d %s", url, p.Key(), resp.Status, resp.Body)
	}
	return resp
}

// Caller is the identity that the app was told of, "" if of none: then the call
// did not come by mutual TLS.
func (r Response) Caller() string {
	_, uri, _ := strings.Cut(r.Echo.Header.Get("X-Forwarded-Client-Cert"), "URI=")
	uri, _, _ = strings.Cut(uri, ";")
	return uri
}

// ID is the identity of the pod.
func (p *Pod) ID() string {
	return "spiffe://cluster.local/ns/" + p.Spec.Namespace + "/sa/" + p.Spec.ServiceAccount
}

// TalkTCP connects, sends text, and after the first byte of the answer the end; it
// returns the whole answer. It does not end earlier: an Envoy that has not looked
// at the first bytes yet drops a connection that its client has ended.
func (p *Pod) TalkTCP(address, text string) (string, error) {
	conn, err := p.Dial(address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return "", err
	}
	if err := CloseWrite(conn); err != nil {
		return string(first), err
	}
	rest, err := io.ReadAll(conn)
	return string(first) + string(rest), err
}

// CloseWrite ends one direction of a connection: the other end reads the end, and
// may go on sending.
func CloseWrite(c net.Conn) error {
	h, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("this connection has one end only")
	}
	return h.CloseWrite()
}

// EchoTCP sends back prefix and what it gets, and "." once the caller has ended.
func EchoTCP(prefix string) func(net.Conn) {
	return func(c net.Conn) {
		first := make([]byte, 1)
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
		fmt.Fprintf(c, "%s%s", prefix, first)
		if _, err := io.Copy(c, c); err == nil {
			fmt.Fprint(c, ".")
		}
	}
}

// Greet is a server that speaks first, then repeats each line.
func Greet(greeting string) func(net.Conn) {
	return func(c net.Conn) {
		fmt.Fprintln(c, greeting)
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(c, line)
		}
	}
}

// At is address:port as text.
func At(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// Serving waits until the control plane knows that many endpoints of the Service
// that are ready, and returns the Service's first address.
func (m *Mesh) Serving(namespace, name string, endpoints int) netip.Addr {
	m.T.Helper()
	address := m.Service(namespace, name)
	m.Eventually(fmt.Sprintf("%d endpoints of %s/%s", endpoints, namespace, name), func() error {
		n := 0
		if e := m.Controller().Store().Endpoints(mesh.Name{Namespace: namespace, Name: name}); e != nil {
			for i := range e.List {
				if e.List[i].Ready {
					n++
				}
			}
		}
		if n != endpoints {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	return address
}

// Certificate makes a self-signed certificate for a name, and the pool that trusts it.
func Certificate(t testing.TB, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
