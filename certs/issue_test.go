package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// The shape that SPIFFE X509-SVID asks for, field by field.
func TestLeafIsAnSVID(t *testing.T) {
	a := selfSigned(t, quiet())
	l := issue(t, a, web)
	chain := decode(t, l.CertificateChainPEM)
	if len(chain) != 1 {
		t.Fatalf("chain of %d: the root must not be in it", len(chain))
	}
	c := chain[0]
	if len(c.URIs) != 1 || c.URIs[0].String() != web.String() {
		t.Errorf("URI SANs %v, want exactly %s", c.URIs, web)
	}
	if n := len(c.DNSNames) + len(c.IPAddresses) + len(c.EmailAddresses); n != 0 {
		t.Errorf("%d other SANs", n)
	}
	if s := c.Subject.String(); s != "" {
		t.Errorf("subject %q, want none", s)
	}
	if c.IsCA || !c.BasicConstraintsValid {
		t.Error("not marked as no CA")
	}
	if c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("key usage %b", c.KeyUsage)
	}
	if len(c.ExtKeyUsage) != 2 {
		t.Errorf("extended key usages %v, want server and client", c.ExtKeyUsage)
	}
	if bits := c.SerialNumber.BitLen(); bits < 80 || bits > 128 {
		t.Errorf("serial number of %d bits", bits)
	}
	if got := c.NotAfter.Sub(c.NotBefore); got != DefaultTTL+maxBackdate {
		t.Errorf("valid for %v", got)
	}
	if l.IssuerKeyID != a.IssuerKeyID() || !strings.Contains(l.Version(), a.IssuerKeyID()) {
		t.Errorf("issuer %s, version %s, authority's key %s", l.IssuerKeyID, l.Version(), a.IssuerKeyID())
	}
	if err := verify(chain, a.Bundle()); err != nil {
		t.Error(err)
	}
}

func TestPEMIsThatOfEncodingPEM(t *testing.T) {
	for n := range 200 {
		der := make([]byte, n)
		for i := range der {
			der[i] = byte(i * 7)
		}
		want := string(pem.EncodeToMemory(&pem.Block{Type: pkcs8Block, Bytes: der}))
		if got := string(appendPEM(nil, pkcs8Block, der)); got != want {
			t.Fatalf("%d bytes:\n%s\nwant\n%s", n, got, want)
		}
		if got := pemSize(pkcs8Block, n); got != len(want) {
			t.Fatalf("%d bytes: size %d, want %d", n, got, len(want))
		}
	}
}

// Two workloads speak mutual TLS; each sees the other's identity.
func TestMutualTLS(t *testing.T) {
	a := selfSigned(t, quiet())
	ledger := mesh.Identity{TrustDomain: "cluster.local", Account: mesh.Name{Namespace: "shop", Name: "ledger"}}
	client, server := workloadTLS(t, a, web), workloadTLS(t, a, ledger)
	seenByClient, seenByServer, err := handshake(client, server)
	if err != nil {
		t.Fatal(err)
	}
	if seenByClient != ledger.String() || seenByServer != web.String() {
		t.Errorf("client saw %s, server saw %s", seenByClient, seenByServer)
	}

	stranger := workloadTLS(t, selfSigned(t, quiet()), web) // the same name under another root
	stranger.RootCAs = client.RootCAs
	if _, _, err := handshake(stranger, server); err == nil {
		t.Error("a stranger's certificate was accepted")
	}
}

// workloadTLS is what a sidecar does with a leaf: both ends prove who they are, and
// the URI is what counts.
func workloadTLS(t *testing.T, a *Authority, id mesh.Identity) *tls.Config {
	t.Helper()
	l := issue(t, a, id)
	pair, err := tls.X509KeyPair(l.CertificateChainPEM, l.PrivateKeyPEM.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	pool := a.Bundle().Pool()
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true, // there is no DNS name; VerifyConnection verifies the chain
		VerifyConnection: func(s tls.ConnectionState) error {
			return verify(s.PeerCertificates, a.Bundle())
		},
	}
}

// handshake runs one over a pipe and returns the URI that each end saw.
func handshake(client, server *tls.Config) (seenByClient, seenByServer string, err error) {
	cc, sc := newPipe()
	defer cc.Close()
	defer sc.Close()
	s, c := tls.Server(sc, server), tls.Client(cc, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err != nil {
			sc.Close()
		} else {
			_, err = s.Write([]byte{1}) // TLS 1.3: the client learns of a refusal by reading
		}
		done <- err
	}()
	if err := c.Handshake(); err != nil {
		cc.Close()
		return "", "", errors.Join(err, <-done)
	}
	_, err = c.Read(make([]byte, 1))
	if err := errors.Join(err, <-done); err != nil {
		return "", "", err
	}
	return uri(c), uri(s), nil
}

func uri(c *tls.Conn) string {
	peer := c.ConnectionState().PeerCertificates
	if len(peer) == 0 || len(peer[0].URIs) != 1 {
		return ""
	}
	return peer[0].URIs[0].String()
}

func TestIdentitiesThatAreNotSigned(t *testing.T) {
	a := selfSigned(t, quiet())
	for _, c := range []struct{ reason, domain, namespace, account string }{
		{"another trust domain", "other.local", "shop", "web"},
		{"no trust domain", "", "shop", "web"},
		{"no namespace", "cluster.local", "", "web"},
		{"no account", "cluster.local", "shop", ""},
		{"a path of more segments", "cluster.local", "shop", "web/../../sa/admin"},
		{"a segment that means the parent", "cluster.local", "..", "web"},
		{"an escape", "cluster.local", "shop", "we%2fb"},
		{"a query", "cluster.local", "shop", "web?x"},
		{"a second name", "cluster.local", "shop", "web,spiffe://cluster.local/ns/shop/sa/admin"},
	} {
		id := mesh.Identity{TrustDomain: c.domain, Account: mesh.Name{Namespace: c.namespace, Name: c.account}}
		if _, err := a.Issue(t.Context(), id); err == nil {
			t.Errorf("%s: %s was signed", c.reason, id)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Issue(gone, web); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has left got %v", err)
	}
}

// A root of one mesh in another mesh's bundle opens nothing there.
func TestRootIsConstrainedToItsTrustDomain(t *testing.T) {
	a := selfSigned(t, quiet())
	foreign := mesh.Identity{TrustDomain: "other.local", Account: web.Account}
	c, err := a.state.Load().signer.sign(leafTemplate(uriNames(foreign), time.Now(), time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.der)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify([]*x509.Certificate{leaf}, a.Bundle()); err == nil {
		t.Error("a leaf of another trust domain was accepted")
	}
}

func TestLivesOfSecondsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.TTL = 4 * time.Second
		a := selfSigned(t, o)
		l := issue(t, a, web)
		chain := decode(t, l.CertificateChainPEM)
		if got := l.NotAfter.Sub(l.NotBefore); got != 8*time.Second {
			t.Errorf("valid for %v, want 4 s and 4 s back-dated", got)
		}
		if got := time.Until(l.RenewAt); got != 2*time.Second {
			t.Errorf("renewal in %v", got)
		}
		time.Sleep(4 * time.Second)
		if err := verify(chain, a.Bundle()); err != nil {
			t.Errorf("at the end of its life: %v", err)
		}
		time.Sleep(time.Second)
		if err := verify(chain, a.Bundle()); err == nil {
			t.Error("accepted after its end")
		}
	})
}

func TestLeafDoesNotOutliveTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newCA(t, "root", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(3 * time.Hour) })
		middle := newCA(t, "middle", root, nil) // lives longer than its root
		a, err := Load(secret(t, t.TempDir(), middle.pem(), middle.keyPEM(t), root.pem()), quiet())
		if err != nil {
			t.Fatal(err)
		}
		if l := issue(t, a, web); !l.NotAfter.Equal(root.certificate.NotAfter) {
			t.Errorf("ends at %v, the root at %v", l.NotAfter, root.certificate.NotAfter)
		}
		time.Sleep(3 * time.Hour)
		if _, err := a.Issue(t.Context(), web); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("issued under an expired root: %v", err)
		}
	})
}

func TestIssueFromManyAtOnce(t *testing.T) {
	a := selfSigned(t, quiet())
	var mu sync.Mutex
	serials := map[string]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				l, err := a.Issue(t.Context(), web)
				if err != nil {
					t.Error(err)
					return
				}
				block, _ := pem.Decode(l.CertificateChainPEM)
				c, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				serials[c.SerialNumber.String()] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(serials) != 160 {
		t.Errorf("%d different serial numbers of 160", len(serials))
	}
}
