package controller

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
)

// sidecars are a mesh of two: what they trust, and what they show. Everything may be
// held up.
type sidecars struct {
	t         *testing.T
	authority *certs.Authority
	files     certs.Files
	log       bytes.Buffer

	mu        sync.Mutex // guards:
	projected certs.Bundle
	trust     [2]certs.Bundle
	leaf      [2]certs.Leaf
	noFiles   bool // files cannot be written
	noAck     bool // the second acknowledges no roots
	noLeaf    bool // nor leaves
	away      bool // it has no stream
}

var worker = mesh.Identity{TrustDomain: "cluster.local", Account: mesh.Name{Namespace: "shop", Name: "web"}}

// rotate runs f beside a rotation of two sidecars, in a bubble of its own time.
func rotate(t *testing.T, f func(*sidecars)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		files := newCAFiles(t)
		s := &sidecars{t: t, files: files}
		log := slog.New(slog.NewTextHandler(&s.log, nil))
		var err error
		if s.authority, err = certs.Load(files, certs.Options{TTL: time.Hour, Logger: log}); err != nil {
			t.Fatal(err)
		}
		r := rotation{
			authority: s.authority, log: log, push: s.push, project: s.project,
			acknowledged: s.acknowledged, reissue: s.reissue, absent: s.absent, outdated: s.outdated,
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run(ctx)
		}()
		synctest.Wait()
		f(s)
		s.check()
		cancel()
		<-done
	})
}

func newCAFiles(t *testing.T) certs.Files {
	t.Helper()
	dir := t.TempDir()
	if _, err := certs.LoadOrCreate(dir, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	return certs.OwnFiles(dir)
}

// copyFiles puts the CA of from into the files of to.
func copyFiles(t *testing.T, from, to certs.Files) {
	t.Helper()
	for from, to := range map[string]string{from.Chain: to.Chain, from.Roots: to.Roots} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// replace puts another CA in place of the present one, all of it, and returns its
// root.
func (s *sidecars) replace() *x509.Certificate {
	s.t.Helper()
	next := newCAFiles(s.t)
	a, err := certs.Load(next, certs.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.load(next)
	return a.Bundle().Certificates()[0]
}

// load puts a CA in place of the present one.
func (s *sidecars) load(from certs.Files) {
	s.t.Helper()
	copyFiles(s.t, from, s.files)
	s.authority.Reload()
	if err := s.authority.Err(); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
}

// after lets time pass, second by second, and checks the mesh at each.
func (s *sidecars) after(d time.Duration) {
	s.t.Helper()
	for range d / time.Second {
		time.Sleep(time.Second)
		synctest.Wait()
		s.check()
	}
}

// check has everybody verify everybody.
func (s *sidecars) check() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.leaf {
		block, _ := pem.Decode(l.CertificateChainPEM)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.t.Fatal(err)
		}
		for j, b := range s.trust {
			if _, err := c.Verify(x509.VerifyOptions{Roots: b.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
				s.t.Fatalf("sidecar %d does not take what sidecar %d shows: %v\n%s", j, i, err, &s.log)
			}
		}
	}
}

// state says what has been reached, for what concerns the root.
func (s *sidecars) state(root *x509.Certificate) string {
	words := []string{"old key", "old root"}
	l, err := s.authority.Issue(s.t.Context(), worker)
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode(l.CertificateChainPEM)
	if c, err := x509.ParseCertificate(block.Bytes); err != nil || c.CheckSignatureFrom(root) == nil {
		words[0] = "new key"
	}
	if b := s.authority.Bundle(); b.Len() > 1 {
		words[1] = "both roots"
	} else if b.Contains(root) {
		words[1] = "new root"
	}
	return strings.Join(words, ", ")
}

func (s *sidecars) want(root *x509.Certificate, want string) {
	s.t.Helper()
	if got := s.state(root); got != want {
		s.t.Fatalf("%s, want %s\n%s", got, want, &s.log)
	}
}

func (s *sidecars) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *sidecars) push() {
	s.set(func() {
		for i := range s.trust {
			if i == 0 || !s.noAck && !s.away {
				s.trust[i] = s.authority.Bundle()
			}
		}
	})
}

func (s *sidecars) project() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noFiles {
		return errors.New("no space left")
	}
	s.projected = s.authority.Bundle()
	return nil
}

func (s *sidecars) acknowledged(ctx context.Context) error {
	for {
		s.mu.Lock()
		ok := s.away || s.trust[1].Equal(s.authority.Bundle())
		if !ok && !s.noAck {
			s.trust[1], ok = s.authority.Bundle(), true
		}
		s.mu.Unlock()
		if ok {
			return nil
		}
		if pause(ctx, time.Second) != nil {
			return errors.New("missing: shop/second")
		}
	}
}

func (s *sidecars) reissue() {
	for i := range s.leaf {
		s.mu.Lock()
		skip := s.authority.SignedNow(s.leaf[i].Version(), worker) || s.leaf[i].Version() != "" && i == 1 && (s.noLeaf || s.away)
		s.mu.Unlock()
		if skip {
			continue
		}
		l, err := s.authority.Issue(s.t.Context(), worker)
		if err != nil {
			s.t.Error(err)
			return
		}
		s.set(func() { s.leaf[i] = l })
	}
}

func (s *sidecars) absent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return []string{"shop/second"}
	}
	return nil
}

func (s *sidecars) outdated(map[uint64]bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.away && (s.noLeaf || !s.authority.SignedNow(s.leaf[1].Version(), worker)) {
		return []string{"shop/second"}
	}
	return nil
}

func TestRotationOfTheWholeCA(t *testing.T) {
	rotate(t, func(s *sidecars) {
		for range 3 {
			root := s.replace()
			s.check()
			s.want(root, "old key, both roots")
			s.after(rotationSettle)
			s.want(root, "new key, both roots")
			s.after(rotationSettle)
			s.want(root, "new key, new root")
			if !s.projected.Contains(root) {
				t.Error("the sidecars' files lack the new root")
			}
		}
	})
}

// Whoever does not acknowledge holds the change up, for all are well as they are.
func TestRotationWaits(t *testing.T) {
	for _, c := range []struct {
		name      string
		hold      func(*sidecars, bool)
		meanwhile string
		names     string
	}{
		{"for the roots", func(s *sidecars, on bool) { s.noAck = on }, "old key, both roots", "missing: shop/second"},
		{"for the files", func(s *sidecars, on bool) { s.noFiles = on }, "old key, both roots", "no space left"},
		{"for the leaves", func(s *sidecars, on bool) { s.noLeaf = on }, "new key, both roots", "missing=shop/second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rotate(t, func(s *sidecars) {
				s.set(func() { c.hold(s, true) })
				root := s.replace()
				s.after(5 * time.Minute)
				s.want(root, c.meanwhile)
				if !strings.Contains(s.log.String(), c.names) {
					t.Errorf("the log does not say who is missing (%q):\n%s", c.names, &s.log)
				}
				s.set(func() { c.hold(s, false) })
				s.reissue() // the server tries again by itself
				s.after(rotationNews + 5*time.Second)
				s.want(root, "new key, new root")
			})
		})
	}
}

// A leaf that nobody replaces ends, and with it the need for its root.
func TestRotationEndsWithTheOldLeaves(t *testing.T) {
	rotate(t, func(s *sidecars) {
		s.noLeaf = true
		root := s.replace()
		time.Sleep(59 * time.Minute)
		s.after(time.Second)
		s.want(root, "new key, both roots")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.want(root, "new key, new root")
		for i := range s.leaf { // all have ended by now
			l, err := s.authority.Issue(t.Context(), worker)
			if err != nil {
				t.Fatal(err)
			}
			s.leaf[i] = l
		}
	})
}

// A sidecar without a stream gets time to come back; one that stays away is given up.
func TestRotationWaitsForReconnects(t *testing.T) {
	rotate(t, func(s *sidecars) {
		s.away = true
		root := s.replace()
		s.after(reconnectPatience - 5*time.Second)
		s.want(root, "old key, both roots")
		s.set(func() { s.away = false })
		s.after(5 * time.Second)
		s.want(root, "new key, new root")

		s.set(func() { s.away = true })
		root = s.replace()
		time.Sleep(2*reconnectPatience + 10*time.Second)
		synctest.Wait()
		s.want(root, "new key, new root")
		s.set(func() { // it comes back
			s.away = false
			s.trust[1] = s.authority.Bundle()
		})
		s.reissue()
	})
}

// The files are changed again, back to what they were: bad roots must not hold up
// their own removal.
func TestRotationIsTakenBack(t *testing.T) {
	rotate(t, func(s *sidecars) {
		was := certs.OwnFiles(t.TempDir())
		copyFiles(t, s.files, was)
		first := s.authority.Bundle().Certificates()[0]
		s.noAck = true
		root := s.replace()
		s.after(time.Minute)
		s.want(root, "old key, both roots")
		s.load(was)
		s.after(2 * rotationSettle)
		if !slices.ContainsFunc(s.authority.Bundle().Certificates(), first.Equal) || s.authority.Bundle().Len() != 1 {
			t.Errorf("trusts %v", s.authority.Bundle())
		}
	})
}
