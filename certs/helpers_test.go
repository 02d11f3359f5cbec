package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

var web = mesh.Identity{TrustDomain: "cluster.local", Account: mesh.Name{Namespace: "shop", Name: "web"}}

// quiet are options without jitter that log nowhere.
func quiet() Options {
	return Options{Jitter: func() float64 { return 0 }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func selfSigned(t testing.TB, o Options) *Authority {
	t.Helper()
	a, err := NewSelfSigned(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a *Authority, id mesh.Identity) Leaf {
	t.Helper()
	l, err := a.Issue(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// decode returns the certificates of a chain.
func decode(t testing.TB, chainPEM []byte) []*x509.Certificate {
	t.Helper()
	c, err := parseCertificates("chain", chainPEM)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verify verifies a leaf as a proxy that trusts b does.
func verify(chain []*x509.Certificate, b Bundle) error {
	opts := x509.VerifyOptions{
		Roots: b.Pool(), Intermediates: x509.NewCertPool(), CurrentTime: time.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	return err
}

// ca is a CA of a test's own, made by other code than the package's.
type ca struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// newCA makes a CA under parent, or a root if parent is nil. change, if not nil,
// changes the template.
func newCA(t testing.TB, name string, parent *ca, change func(*x509.Certificate)) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newCAWithKey(t, name, parent, key, change)
}

func newCAWithKey(t testing.TB, name string, parent *ca, key crypto.Signer, change func(*x509.Certificate)) *ca {
	t.Helper()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if change != nil {
		change(template)
	}
	signer, above := key, template
	if parent != nil {
		signer, above = parent.key, parent.certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{certificate: c, key: key}
}

func (c *ca) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw})
}

func (c *ca) keyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// secret writes the files of a mounted Secret.
func secret(t testing.TB, dir string, chain, key, roots []byte) Files {
	t.Helper()
	f := SecretFiles(dir)
	write(t, f.Chain, chain)
	write(t, f.Key, key)
	write(t, f.Roots, roots)
	return f
}

// write replaces a file by rename.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), ".tmp")
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// eventually waits until ok is true; it fails the test if that takes too long.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not: %s", what)
		}
	}
}
