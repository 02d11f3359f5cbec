package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

func TestLoadAcceptsWhatPeopleHave(t *testing.T) {
	root := newCA(t, "root", nil, nil)
	middle := newCA(t, "middle", root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	upper := newCA(t, "upper", root, nil)
	lower := newCA(t, "lower", upper, nil)
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaRoot := newCAWithKey(t, "rsa", nil, big, nil)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384Root := newCAWithKey(t, "p384", nil, p384, nil)
	sec1, err := x509.MarshalECPrivateKey(middle.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	ecParameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}) // openssl ecparam -genkey
	named := newCA(t, "named", nil, func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"cluster.local"}, true
	})
	for _, c := range []struct {
		reason            string
		chain, key, roots []byte
		sent              int // certificates with a leaf, the leaf included
	}{
		{"a root", root.pem(), root.keyPEM(t), root.pem(), 1},
		{"an intermediate", middle.pem(), middle.keyPEM(t), root.pem(), 2},
		{"an intermediate, its root in the chain as well", join(middle.pem(), root.pem()), middle.keyPEM(t), root.pem(), 2},
		{"two intermediates", join(lower.pem(), upper.pem()), lower.keyPEM(t), root.pem(), 3},
		{"an intermediate that is trusted itself", middle.pem(), middle.keyPEM(t), middle.pem(), 1},
		{"old and new root", middle.pem(), middle.keyPEM(t), join(p384Root.pem(), root.pem()), 2},
		{"SEC 1 after its parameters", middle.pem(), join(ecParameters, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), root.pem(), 2},
		{"RSA in PKCS #1", rsaRoot.pem(), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(big)}), rsaRoot.pem(), 1},
		{"P-384", p384Root.pem(), p384Root.keyPEM(t), p384Root.pem(), 1},
		{"constrained to the trust domain", named.pem(), named.keyPEM(t), named.pem(), 1},
		{"key and chain in one file", join(root.keyPEM(t), root.pem()), join(root.keyPEM(t), root.pem()), root.pem(), 1},
	} {
		t.Run(c.reason, func(t *testing.T) {
			a, err := Load(secret(t, t.TempDir(), c.chain, c.key, c.roots), quiet())
			if err != nil {
				t.Fatal(err)
			}
			chain := decode(t, issue(t, a, web).CertificateChainPEM)
			if len(chain) != c.sent {
				t.Errorf("%d certificates with a leaf, want %d", len(chain), c.sent)
			}
			if err := verify(chain, a.Bundle()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each error names the file and says something of the way out.
func TestLoadRefuses(t *testing.T) {
	root, other := newCA(t, "root", nil, nil), newCA(t, "other", nil, nil)
	middle := newCA(t, "middle", root, nil)
	lower := newCA(t, "lower", middle, nil)
	leaf := newCA(t, "leaf", root, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	noSign := newCA(t, "nosign", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	expired := newCA(t, "expired", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	future := newCA(t, "future", nil, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	oldRoot := newCA(t, "old root", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	underOld := newCA(t, "under old", oldRoot, nil)
	foreign := newCA(t, "foreign", nil, func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{"other.local"}, true
	})
	tight := newCA(t, "tight", nil, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	underTight := newCA(t, "under tight", tight, nil)
	serverOnly := newCA(t, "server only", nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, curve, ed := newCAWithKey(t, "weak", nil, small, nil), newCAWithKey(t, "curve", nil, p521, nil), newCAWithKey(t, "ed", nil, edwards, nil)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	many := bytes.Repeat(root.pem(), maxRoots+1)

	const chain, key, roots = "tls.crt", "tls.key", "ca.crt"
	for _, c := range []struct {
		reason     string
		c, k, r    []byte
		file, says string
	}{
		{"empty chain", nil, root.keyPEM(t), root.pem(), chain, "no certificate"},
		{"garbage", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), root.keyPEM(t), root.pem(), chain, "certificate 1 cannot be read"},
		{"a leaf", leaf.pem(), leaf.keyPEM(t), root.pem(), chain, "CA:TRUE"},
		{"may not sign", noSign.pem(), noSign.keyPEM(t), noSign.pem(), chain, "keyCertSign"},
		{"expired", expired.pem(), expired.keyPEM(t), expired.pem(), chain, "expired at"},
		{"not yet valid", future.pem(), future.keyPEM(t), future.pem(), chain, "valid only from"},
		{"expired root", underOld.pem(), underOld.keyPEM(t), oldRoot.pem(), roots, "expired"},
		{"no key", root.pem(), nil, root.pem(), key, "no private key"},
		{"certificate for a key", root.pem(), root.pem(), root.pem(), key, "no private key"},
		{"encrypted key", root.pem(), encrypted, root.pem(), key, "decrypt it"},
		{"broken key", root.pem(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), root.pem(), key, "cannot be read"},
		{"another's key", root.pem(), other.keyPEM(t), root.pem(), key, "does not belong"},
		{"weak RSA", weak.pem(), weak.keyPEM(t), weak.pem(), key, "1024 bits"},
		{"P-521", curve.pem(), curve.keyPEM(t), curve.pem(), key, "P-521"},
		{"Ed25519", ed.pem(), ed.keyPEM(t), ed.pem(), key, "ed25519"},
		{"no roots", root.pem(), root.keyPEM(t), nil, roots, "no certificate"},
		{"a leaf among the roots", root.pem(), root.keyPEM(t), join(root.pem(), leaf.pem()), roots, "certificate 2"},
		{"too many roots", root.pem(), root.keyPEM(t), many, roots, "at most"},
		{"another root", middle.pem(), middle.keyPEM(t), other.pem(), roots, "put the root of"},
		{"a gap in the chain", lower.pem(), lower.keyPEM(t), root.pem(), roots, "intermediates"},
		{"path too long", underTight.pem(), underTight.keyPEM(t), tight.pem(), chain, "path length"},
		{"another trust domain's", foreign.pem(), foreign.keyPEM(t), foreign.pem(), chain, "trust domain"},
		{"for servers only", serverOnly.pem(), serverOnly.keyPEM(t), serverOnly.pem(), chain, "key usages"},
		{"huge file", make([]byte, maxFile+1), root.keyPEM(t), root.pem(), chain, "larger than"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			_, err := Load(secret(t, t.TempDir(), c.c, c.k, c.r), quiet())
			if err == nil {
				t.Fatal("loaded")
			}
			if !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error does not name %s and %q: %v", c.file, c.says, err)
			}
		})
	}
	t.Run("missing file", func(t *testing.T) {
		_, err := Load(SecretFiles(t.TempDir()), quiet())
		if err == nil || !strings.Contains(err.Error(), chain) {
			t.Errorf("%v", err)
		}
	})
	t.Run("intermediate without a file of roots", func(t *testing.T) {
		f := secret(t, t.TempDir(), middle.pem(), middle.keyPEM(t), root.pem())
		f.Roots = ""
		if _, err := Load(f, quiet()); err == nil || !strings.Contains(err.Error(), "is no root") {
			t.Errorf("%v", err)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{TTL: time.Second}, {TTL: -time.Hour}, {TrustDomain: "Upper.local"}, {TrustDomain: "a/b"}, {TrustDomain: strings.Repeat("a", 256)}} {
		if _, err := NewSelfSigned(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// Many starts on an empty folder end with one CA, whole and private.
func TestLoadOrCreateRaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "ca")
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			a, err := LoadOrCreate(dir, quiet())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[a.IssuerKeyID()+a.Bundle().ID()] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d different CAs", len(seen))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestLoadOrCreateKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadOrCreate(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	v := issue(t, first, web).Version()
	if err := os.Remove(OwnFiles(dir).Roots); err != nil { // killed between the two files
		t.Fatal(err)
	}
	second, err := LoadOrCreate(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if !first.Bundle().Equal(second.Bundle()) {
		t.Error("another bundle after a restart")
	}
	if _, ok := second.StillGood(v, web, time.Now()); !ok {
		t.Error("leaves of before the restart are not good any more")
	}
	o := quiet()
	o.TrustDomain = "other.local"
	if _, err := LoadOrCreate(dir, o); err == nil || !strings.Contains(err.Error(), "trust domain") {
		t.Errorf("a CA of another trust domain: %v", err)
	}
	write(t, OwnFiles(dir).Key, []byte("spoiled"))
	if _, err := LoadOrCreate(dir, quiet()); err == nil {
		t.Error("a spoiled CA was replaced, and with it everyone's trust")
	}
}

func FuzzParseFiles(f *testing.F) {
	root := newCA(f, "root", nil, nil)
	f.Add(root.pem(), root.keyPEM(f), root.pem())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte(nil), []byte(nil))
	files := Files{Chain: "c", Key: "k", Roots: "r"}
	f.Fuzz(func(t *testing.T, chain, key, roots []byte) {
		m, err := files.parse(chain, key, roots)
		if err != nil {
			return
		}
		s, err := newIssuer(m, "cluster.local", time.Now())
		if err != nil {
			return
		}
		if _, err := s.sign(leafTemplate(uriNames(mesh.Identity{TrustDomain: "cluster.local"}), time.Now(), time.Minute)); err != nil {
			t.Errorf("loaded, and cannot sign: %v", err)
		}
	})
}
