package certs

import (
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

func TestRenewAt(t *testing.T) {
	issued := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		r    float64
		want time.Duration
	}{{0, 12 * time.Hour}, {0.5, 13*time.Hour + 12*time.Minute}, {1, 14*time.Hour + 24*time.Minute}} {
		got := RenewAt(issued, issued.Add(24*time.Hour), c.r).Sub(issued)
		if d := got - c.want; d < -time.Microsecond || d > time.Microsecond {
			t.Errorf("r = %v: %v, want %v", c.r, got, c.want)
		}
	}
}

// A proxy that comes back reports the version of its leaf. It is spared another one
// only if nothing at all has changed.
func TestStillGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		root, other := newCA(t, "root", nil, nil), newCA(t, "other", nil, nil)
		middle := newCA(t, "middle", root, nil)
		load := func(files Files, o Options) *Authority {
			t.Helper()
			a, err := Load(files, o)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		files := secret(t, dir, middle.pem(), middle.keyPEM(t), join(root.pem(), other.pem()))
		a := load(files, quiet())
		short := quiet()
		short.TTL = time.Hour
		crossed := newCAWithKey(t, "middle", other, middle.key, nil) // the same key under another root
		admin := mesh.Identity{TrustDomain: "cluster.local", Account: mesh.Name{Namespace: "shop", Name: "admin"}}
		now := time.Now()
		good := issue(t, a, web).Version()

		for _, c := range []struct {
			reason  string
			by      *Authority
			version string
			id      mesh.Identity
			at      time.Time
			want    bool
		}{
			{"at once", a, good, web, now, true},
			{"just before half of its life", a, good, web, now.Add(12*time.Hour - time.Second), true},
			{"at half of its life", a, good, web, now.Add(12 * time.Hour), false},
			{"after its end", a, good, web, now.Add(25 * time.Hour), false},
			{"from a replica whose clock is ahead", a, good, web, now.Add(-time.Minute), true},
			{"before it is valid", a, good, web, now.Add(-time.Hour), false},
			{"after a restart with the same files", load(files, quiet()), good, web, now, true},
			{"of another account", a, good, admin, now, false},
			{"of another trust domain", a, good, mesh.Identity{TrustDomain: "x", Account: web.Account}, now, false},
			{"by another key", selfSigned(t, quiet()), good, web, now, false},
			{"by the same key under another root", load(secret(t, t.TempDir(), crossed.pem(), middle.keyPEM(t), other.pem()), quiet()), good, web, now, false},
			{"longer than is issued now", load(files, short), good, web, now, false},
			{"none", a, "", web, now, false},
			{"another end", a, "9" + good, web, now, false},
			{"a number written otherwise", a, "+" + good, web, now, false},
			{"no MAC", a, good[:strings.LastIndexByte(good, '.')], web, now, false},
			{"empty MAC", a, good[:strings.LastIndexByte(good, '.')+1], web, now, false},
			{"much too long", a, good + strings.Repeat("A", 1<<20), web, now, false},
		} {
			renewAt, ok := c.by.StillGood(c.version, c.id, c.at)
			if ok != c.want {
				t.Errorf("%s: %v", c.reason, ok)
			}
			if ok && !renewAt.After(c.at) {
				t.Errorf("%s: renewal at %v, which is past", c.reason, renewAt)
			}
		}
	})
}

func TestStillGoodUntilRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newCA(t, "root", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(2 * time.Hour) })
		o := quiet()
		o.Jitter = func() float64 { return 0.999 }
		a, err := Load(secret(t, t.TempDir(), root.pem(), root.keyPEM(t), root.pem()), o)
		if err != nil {
			t.Fatal(err)
		}
		l := issue(t, a, web) // 2 h, cut by the root
		if got := time.Until(l.RenewAt); got < 71*time.Minute || got > 72*time.Minute {
			t.Errorf("renewal in %v, want about 60%% of 2 h", got)
		}
		if at, ok := a.StillGood(l.Version(), web, time.Now()); !ok || at.Sub(l.RenewAt).Abs() > time.Second {
			t.Errorf("StillGood says %v %v, the leaf %v", at, ok, l.RenewAt)
		}
	})
}

func FuzzStillGood(f *testing.F) {
	a := selfSigned(f, quiet())
	good := issue(f, a, web).Version()
	for _, s := range []string{good, "", "...", "1.2.3.4", "9223372036854775807.1.a.b", good + "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, version string) {
		if _, ok := a.StillGood(version, web, time.Now()); ok && version != good {
			t.Errorf("%q passes for %q", version, good)
		}
	})
}
