package certs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// run runs the authority until the test ends, and checks that nothing is left.
func run(t *testing.T, a *Authority) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, leaks)
	})
}

func TestRootsAreReloaded(t *testing.T) {
	root, next := newCA(t, "root", nil, nil), newCA(t, "next", nil, nil)
	f := secret(t, t.TempDir(), root.pem(), root.keyPEM(t), root.pem())
	a, err := Load(f, quiet())
	if err != nil {
		t.Fatal(err)
	}
	bundles := a.Subscribe(t.Context())
	old := <-bundles
	run(t, a)

	write(t, f.Roots, join(next.pem(), root.pem())) // both, by rename
	both := <-bundles
	if both.Len() != 2 || !both.Contains(root.certificate) || !both.Contains(next.certificate) || !a.Bundle().Equal(both) {
		t.Fatalf("%v after a second root was added to %v", both, old)
	}

	write(t, f.Roots, join(root.pem(), next.pem(), root.pem())) // the same set, shuffled
	write(t, f.Roots, []byte("spoiled"))
	eventually(t, "the broken file is reported", func() bool { return a.Err() != nil })
	if !strings.Contains(a.Err().Error(), "ca.crt") || !a.Bundle().Equal(both) {
		t.Errorf("%v; bundle %v", a.Err(), a.Bundle())
	}
	issue(t, a, web)

	if err := os.WriteFile(f.Roots, root.pem(), 0o600); err != nil { // in place
		t.Fatal(err)
	}
	if got := <-bundles; !got.Equal(both) { // nothing was published in between
		t.Errorf("%v: the second root is not dropped before it is time", got)
	}
	if !a.Retire() {
		t.Error("a root cannot be dropped")
	}
	if got := <-bundles; !got.Equal(old) {
		t.Errorf("%v, want %v again", got, old)
	}
	eventually(t, "no error any more", func() bool { return a.Err() == nil })
}

// The signer is replaced only together with what belongs to it.
func TestSignerIsReloadedAsAWhole(t *testing.T) {
	root, next := newCA(t, "root", nil, nil), newCA(t, "next", nil, nil)
	f := secret(t, t.TempDir(), root.pem(), root.keyPEM(t), join(root.pem(), next.pem()))
	a, err := Load(f, quiet())
	if err != nil {
		t.Fatal(err)
	}
	before := issue(t, a, web)
	run(t, a)
	write(t, f.Key, next.keyPEM(t))
	eventually(t, "a key without its certificate is reported", func() bool { return a.Err() != nil })
	if got := issue(t, a, web); got.IssuerKeyID != before.IssuerKeyID {
		t.Errorf("signed by %s", got.IssuerKeyID)
	}
	write(t, f.Chain, next.pem())
	eventually(t, "the new signer is read", func() bool { _, due := a.Promotion(); return due })
	if got := issue(t, a, web); got.IssuerKeyID != before.IssuerKeyID {
		t.Errorf("signed by %s before anybody said that it is trusted", got.IssuerKeyID)
	}
	if !a.Promote(a.Bundle()) || a.IssuerKeyID() == before.IssuerKeyID {
		t.Error("the new signer is not used")
	}
	after := issue(t, a, web)
	if err := verify(decode(t, after.CertificateChainPEM), a.Bundle()); err != nil {
		t.Error(err)
	}
	if err := verify(decode(t, before.CertificateChainPEM), a.Bundle()); err != nil {
		t.Errorf("the old root is still in the bundle, but: %v", err)
	}
	if _, ok := a.StillGood(before.Version(), web, before.NotBefore.Add(maxBackdate)); ok {
		t.Error("a leaf of the old signer is still good")
	}
}

// The kubelet writes a new folder and moves one link to it.
func TestReloadFollowsTheKubelet(t *testing.T) {
	dir := t.TempDir()
	root, next := newCA(t, "root", nil, nil), newCA(t, "next", nil, nil)
	project := func(n int, roots []byte) {
		generation := fmt.Sprintf("..gen%d", n)
		if err := os.Mkdir(filepath.Join(dir, generation), 0o700); err != nil {
			t.Fatal(err)
		}
		secret(t, filepath.Join(dir, generation), root.pem(), root.keyPEM(t), roots)
		if err := os.Symlink(generation, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	project(0, root.pem())
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := Load(SecretFiles(dir), quiet())
	if err != nil {
		t.Fatal(err)
	}
	bundles := a.Subscribe(t.Context())
	<-bundles
	run(t, a)
	for n := range 3 {
		project(2*n+1, join(root.pem(), next.pem()))
		if got := <-bundles; got.Len() != 2 {
			t.Fatalf("%v after the swap", got)
		}
		if err := os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..gen%d", 2*n))); err != nil {
			t.Fatal(err)
		}
		project(2*n+2, root.pem())
		if got := <-bundles; got.Len() != 2 || !a.Retire() {
			t.Fatalf("%v after the swap back", got)
		}
		if got := <-bundles; got.Len() != 1 {
			t.Fatalf("%v after the end of the second root", got)
		}
	}
}

func TestRunWithoutFilesWaits(t *testing.T) {
	run(t, selfSigned(t, quiet()))
}
