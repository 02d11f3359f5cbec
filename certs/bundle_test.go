package certs

import (
	"context"
	"testing"
)

func TestBundleIsASet(t *testing.T) {
	one, two := newCA(t, "one", nil, nil), newCA(t, "two", nil, nil)
	parse := func(parts ...[]byte) Bundle {
		t.Helper()
		b, err := ParseBundle("test", join(parts...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a := parse(one.pem(), two.pem())
	for _, c := range []struct {
		reason string
		b      Bundle
		equal  bool
	}{
		{"shuffled", parse(two.pem(), one.pem()), true},
		{"repeated", parse(two.pem(), one.pem(), two.pem()), true},
		{"with text around", parse([]byte("# roots\n"), two.pem(), []byte("\nand\n"), one.pem()), true},
		{"made of certificates", NewBundle(two.certificate, one.certificate, one.certificate), true},
		{"less", parse(one.pem()), false},
		{"nothing", Bundle{}, false},
	} {
		if got := a.Equal(c.b); got != c.equal {
			t.Errorf("%s: equal %v", c.reason, got)
		}
		if (a.ID() == c.b.ID()) != c.equal || (string(a.PEM()) == string(c.b.PEM())) != c.equal {
			t.Errorf("%s: ID or PEM disagree", c.reason)
		}
	}
	if got := len(decode(t, a.PEM())); got != 2 || a.Len() != 2 || len(a.Certificates()) != 2 {
		t.Errorf("%d roots in the PEM, Len %d", got, a.Len())
	}
}

func TestSlowSubscribersMissNothingButThePast(t *testing.T) {
	var f feed
	bundles := make([]Bundle, 5)
	for i := range bundles {
		bundles[i] = NewBundle(newCA(t, "r", nil, nil).certificate)
	}
	f.publish(bundles[0], "k")
	ctx, cancel := context.WithCancel(t.Context())
	slow, quick := f.subscribe(ctx), f.subscribe(t.Context())
	for i, b := range bundles {
		f.publish(b, "k")
		f.publish(b, "k") // no news
		if i == 0 {
			continue
		}
		if got := <-quick; !got.Equal(b) && i > 1 {
			t.Errorf("publication %d: quick reader got another", i)
		}
	}
	if got := <-slow; !got.Equal(bundles[4]) {
		t.Error("slow reader did not get the latest")
	}
	select {
	case b := <-slow:
		t.Errorf("and then %v", b)
	default:
	}
	cancel()
	if _, open := <-slow; open {
		t.Error("still open after the end")
	}
	f.publish(bundles[0], "k") // and sends to nobody who left
	if got := <-quick; !got.Equal(bundles[0]) {
		t.Error("quick reader lost its place")
	}
}
