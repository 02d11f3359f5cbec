package certs

import (
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"
)

// rotating is an authority whose whole CA has been replaced in one step.
func rotating(t *testing.T, old, next *ca) (a *Authority, f Files) {
	t.Helper()
	f = secret(t, t.TempDir(), old.pem(), old.keyPEM(t), old.pem())
	a, err := Load(f, quiet())
	if err != nil {
		t.Fatal(err)
	}
	replaceCA(t, a, f, next, next)
	return a, f
}

func replaceCA(t *testing.T, a *Authority, f Files, signer *ca, roots ...*ca) {
	t.Helper()
	write(t, f.Chain, signer.pem())
	write(t, f.Key, signer.keyPEM(t))
	var pem []byte
	for _, r := range roots {
		pem = append(pem, r.pem()...)
	}
	write(t, f.Roots, pem)
	a.Reload()
	if err := a.Err(); err != nil {
		t.Fatal(err)
	}
}

func trusts(t *testing.T, what string, a *Authority, roots ...*ca) {
	t.Helper()
	var want []*x509.Certificate
	for _, r := range roots {
		want = append(want, r.certificate)
	}
	if !a.Bundle().Equal(NewBundle(want...)) {
		t.Errorf("%s: trusts %v", what, a.Bundle())
	}
}

func signs(t *testing.T, what string, a *Authority, by *ca) Leaf {
	t.Helper()
	l := issue(t, a, web)
	if err := decode(t, l.CertificateChainPEM)[0].CheckSignatureFrom(by.certificate); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if err := verify(decode(t, l.CertificateChainPEM), a.Bundle()); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if !a.SignedNow(l.Version(), web) {
		t.Errorf("%s: a leaf that was made just now is not SignedNow", what)
	}
	return l
}

// due says which step is next: "promote", "retire" or "".
func due(a *Authority) string {
	_, promote := a.Promotion()
	_, retire := a.Retirement()
	switch {
	case promote && retire:
		return "both"
	case promote:
		return "promote"
	case retire:
		return "retire"
	}
	return ""
}

// All of a CA is replaced at once. At every step what anybody may hold is verified
// by what everybody trusts.
func TestRotation(t *testing.T) {
	old, next := newCA(t, "old", nil, nil), newCA(t, "next", nil, nil)
	a, f := rotating(t, old, next)
	changes := a.Subscribe(t.Context())
	<-changes

	trusts(t, "after the change", a, old, next)
	before := signs(t, "after the change", a, old)
	if due(a) != "promote" || a.Retire() {
		t.Errorf("due: %q", due(a))
	}
	if a.Promote(NewBundle(old.certificate)) {
		t.Error("promoted though the new root is not trusted by everybody")
	}
	a.Reload()
	trusts(t, "after a reload of the same files", a, old, next)

	if !a.Promote(a.Bundle()) || a.Promote(a.Bundle()) {
		t.Error("promoted once")
	}
	<-changes
	trusts(t, "promoted", a, old, next)
	after := signs(t, "promoted", a, next)
	if a.SignedNow(before.Version(), web) {
		t.Error("the old leaf passes for one of the new signer")
	}
	if err := verify(decode(t, before.CertificateChainPEM), a.Bundle()); err != nil {
		t.Errorf("the old leaf is in use: %v", err)
	}
	if end, ok := a.Retirement(); !ok || end.Before(before.NotAfter) {
		t.Errorf("retirement by %v, but a leaf lasts until %v", end, before.NotAfter)
	}

	if !a.Retire() || a.Retire() {
		t.Error("retired once")
	}
	<-changes
	trusts(t, "retired", a, next)
	signs(t, "retired", a, next)
	if due(a) != "" || !a.SignedNow(after.Version(), web) {
		t.Errorf("due: %q", due(a))
	}
	// Back again, in one step as well.
	replaceCA(t, a, f, old, old)
	trusts(t, "back", a, old, next)
	signs(t, "back", a, next)
}

// The files change while a change is under way.
func TestRotationIsOvertaken(t *testing.T) {
	old, next, third := newCA(t, "old", nil, nil), newCA(t, "next", nil, nil), newCA(t, "third", nil, nil)

	a, f := rotating(t, old, next)
	acked := a.Bundle()
	replaceCA(t, a, f, third, third)
	if a.Promote(acked) {
		t.Error("the third was promoted by those who trust the second")
	}
	trusts(t, "a third", a, old, next, third)
	signs(t, "a third", a, old)
	if !a.Promote(a.Bundle()) || !a.Retire() {
		t.Error("the third cannot be reached")
	}
	trusts(t, "a third, at the end", a, third)
	signs(t, "a third, at the end", a, third)

	a, f = rotating(t, old, next)
	replaceCA(t, a, f, old, old)
	signs(t, "taken back", a, old)
	if due(a) != "retire" || !a.Retire() {
		t.Errorf("taken back: due %q", due(a))
	}
	trusts(t, "taken back", a, old)

	a, f = rotating(t, old, next)
	a.Promote(a.Bundle())
	replaceCA(t, a, f, next, next, third)
	trusts(t, "another root before the old one has gone", a, old, next, third)
	if due(a) != "retire" || !a.Retire() {
		t.Errorf("another root: due %q", due(a))
	}
	trusts(t, "another root", a, next, third)
}

// A signer that has ended is not waited for: it can sign nothing.
func TestRotationAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newCA(t, "old", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
		next := newCA(t, "next", nil, nil)
		f := secret(t, t.TempDir(), old.pem(), old.keyPEM(t), old.pem())
		a, err := Load(f, quiet())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		replaceCA(t, a, f, next, next)
		signs(t, "after the end of the old one", a, next)
		if due(a) != "retire" {
			t.Errorf("due: %q", due(a))
		}
	})
}

// A root that is renewed with its key is another root, and its leaves are made anew.
func TestRotationOfARootWithItsKey(t *testing.T) {
	old := newCA(t, "root", nil, nil)
	next := newCAWithKey(t, "root", nil, old.key, func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) })
	a, _ := rotating(t, old, next)
	trusts(t, "after the change", a, old, next)
	before := issue(t, a, web)
	if due(a) != "promote" || !a.Promote(a.Bundle()) || a.SignedNow(before.Version(), web) {
		t.Errorf("due: %q", due(a))
	}
	signs(t, "promoted", a, next)
}
