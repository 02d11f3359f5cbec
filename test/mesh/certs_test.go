package mesh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
	"github.com/fairlead/fairlead/xds/ads"
)

// holders are calls on one connection that lasts as long as the test: whoever cuts
// it fails them.
func holders(t *testing.T, web *meshtest.Pod, address string) *loads {
	t.Helper()
	l := &loads{t: t, from: web}
	s, err := podStream(t.Context(), dialGRPC(t, web, address+":9000"))
	if err != nil {
		t.Fatal(err)
	}
	l.add("one gRPC stream", web.StartCalls(1, func(context.Context, int) (string, error) { return talkOnce(s, "hello") }))
	conn, err := web.Dial(address + ":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	l.add("one TCP connection", web.StartCalls(1, func(context.Context, int) (string, error) { return lineOnce(conn, "\x01hello") }))
	return l
}

// leafOf is the certificate that the pod's sidecar shows to whoever connects now.
func leafOf(m *meshtest.Mesh, p *meshtest.Pod) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(m.Ctx, 5*time.Second)
	defer cancel()
	raw, err := m.Lab.Node().DialContext(ctx, "tcp", net.JoinHostPort(p.Address().String(), "8080"))
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{NextProtos: []string{"mesh"}, InsecureSkipVerify: true}) //nolint:gosec // it is only looked at
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

func shortLeaves(ttl time.Duration) meshtest.Option {
	return func(o *controller.Options) { o.LeafTTL = ttl }
}

// Certificates are renewed long before they end, in every sidecar, and nobody
// notices: no request, no stream, no connection.
func TestRenewalIsNotNoticed(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, shortLeaves(4*time.Second))
	m.Apply("catalog", catalogService)
	catalog := growCatalog(t, m, "catalog-0")
	web := m.Pod(podSpec("shop", "web"))
	address := m.Service("shop", "catalog").String()
	l, held := startLoads(t, web, address), holders(t, web, address)

	start := time.Now()
	seen := map[string]map[string]bool{catalog.Key(): {}, web.Key(): {}}
	m.Eventually("three renewals of each", func() error {
		for _, p := range []*meshtest.Pod{catalog.Pod, web} {
			c, err := leafOf(m, p)
			if err != nil {
				t.Fatalf("%s: %v", p.Key(), err)
			}
			if left := time.Until(c.NotAfter); left < time.Second {
				t.Fatalf("%s shows a certificate that ends in %s", p.Key(), left)
			}
			seen[p.Key()][c.SerialNumber.Text(16)] = true
			if id := c.URIs; len(id) != 1 || id[0].String() != p.ID() {
				t.Fatalf("%s shows %v", p.Key(), id)
			}
		}
		if n := min(len(seen[catalog.Key()]), len(seen[web.Key()])); n < 4 {
			return fmt.Errorf("%d certificates", n)
		}
		return nil
	})
	t.Logf("catalog showed %d certificates, web %d, in %s", len(seen[catalog.Key()]), len(seen[web.Key()]), time.Since(start))
	l.mustNotFail("catalog-0")
	held.mustNotFail("catalog-0")
}

// With the control plane away for longer than certificates live, connections stay
// and requests on them are answered; a new connection is refused rather than made
// without a valid certificate. When the control plane is back, all is well again
// without anybody's help.
func TestExpiryWithoutControlPlane(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, shortLeaves(4*time.Second))
	m.Apply("catalog", catalogService)
	catalog := growCatalog(t, m, "catalog-0")
	web := m.Pod(podSpec("shop", "web"))
	address := m.Service("shop", "catalog").String()
	held := holders(t, web, address)
	// One client at a time, so that the sidecar needs no second connection.
	load := web.StartLoad(address, 1)
	web.More(load, 10)

	m.Stop()
	m.Eventually("the certificates end", func() error {
		c, err := leafOf(m, catalog.Pod)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(c.NotAfter); left > -1500*time.Millisecond { // web's may be a little younger
			return fmt.Errorf("%s left", left)
		}
		return nil
	})
	m.Eventually("new connections are refused", func() error {
		pod, err := talkOn(web, address)
		if err == nil {
			return fmt.Errorf("%s answered", pod)
		}
		return nil
	})
	for range 10 {
		if pod, err := talkOn(web, address); err == nil {
			t.Errorf("%s answered with certificates that have ended", pod)
		}
	}
	held.more(20)
	web.More(load, 20)
	m.Start()
	back := time.Now()
	m.Eventually("new connections work again", func() error {
		_, err := talkOn(web, address)
		return err
	})
	t.Logf("well again %s after the control plane", time.Since(back))
	held.more(20)
	web.More(load, 20)
	web.MustNotFail(load)
	held.mustNotFail("catalog-0")
}

// talkOn says something on a TCP connection of its own: that is a handshake between
// the sidecars.
func talkOn(p *meshtest.Pod, address string) (pod string, err error) {
	conn, err := p.Dial(address + ":7000")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return lineOnce(conn, "\x01hello")
}

// ca is a CA as a company has one.
type ca struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newCA(t *testing.T, name string) ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca{c, key}
}

func (c ca) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw})
}

// secret is the content of a kubernetes.io/tls Secret of the CA, with these roots.
func (c ca) secret(t *testing.T, roots ...ca) map[string][]byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"tls.crt": c.certificatePEM(),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
	for _, r := range roots {
		files["ca.crt"] = append(files["ca.crt"], r.certificatePEM()...)
	}
	return files
}

// projectSecret mounts the content of a Secret at dir as the kubelet does: all files
// change at once.
func projectSecret(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	generation, err := os.MkdirTemp(dir, "..generation")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(generation, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		err := os.Symlink("..data/"+name, filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(generation), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// The user's own root is replaced under load, without a restart of anything, and no
// call fails: in the three steps of a careful person (trust both, sign with the new
// one, trust the new one only), or all at once, for the mesh makes the steps itself.
func TestUsersRootIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	was, next, last := newCA(t, "root 2025"), newCA(t, "root 2026"), newCA(t, "root 2027")
	dir := t.TempDir()
	projectSecret(t, dir, was.secret(t, was))
	m := meshtest.New(t, func(o *controller.Options) { o.CA = dir })
	m.Apply("catalog", catalogService)
	catalog := growCatalog(t, m, "catalog-0")
	web := m.Pod(podSpec("shop", "web"))
	address := m.Service("shop", "catalog").String()
	l, held := startLoads(t, web, address), holders(t, web, address)
	l.more(5)

	signedBy := func(what string, by ca) {
		t.Helper()
		start := time.Now()
		m.Eventually(what, func() error {
			for _, p := range []*meshtest.Pod{catalog.Pod, web} {
				c, err := leafOf(m, p)
				if err != nil {
					return err
				}
				if err := c.CheckSignatureFrom(by.certificate); err != nil {
					return fmt.Errorf("%s: signed by %s", p.Key(), c.Issuer)
				}
			}
			return nil
		})
		t.Logf("%s: after %s", what, time.Since(start))
	}
	roots := func(n int) {
		t.Helper()
		m.Eventually("the roots are read", func() error {
			if have := m.Controller().Authority().Bundle().Len(); have != n {
				return fmt.Errorf("%d roots", have)
			}
			return nil
		})
		m.AckedKeys(ads.Key{Type: ads.Secret, Name: "roots"}, ads.Key{Type: ads.Secret, Name: "peers/shop/catalog"})
	}
	signedBy("the first root signs", was)

	projectSecret(t, dir, was.secret(t, was, next))
	roots(2)
	l.more(5)
	projectSecret(t, dir, next.secret(t, was, next))
	signedBy("the new root signs", next)
	l.more(5)
	projectSecret(t, dir, next.secret(t, next))
	roots(1)
	l.more(10)

	projectSecret(t, dir, last.secret(t, last))
	signedBy("the last root signs", last)
	roots(1)
	l.more(10)

	// A pod that starts now knows the last root only, and is answered.
	late := m.Pod(podSpec("shop", "late"))
	if _, err := talkOn(late, address); err != nil {
		t.Errorf("a pod that started after the change: %v", err)
	}
	l.mustNotFail("catalog-0")
	held.mustNotFail("catalog-0")

	// And the control plane shows a certificate of the last root too.
	m.Stop()
	m.Start()
	m.Connected(catalog.Pod, web, late)
}
