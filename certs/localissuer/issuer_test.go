package localissuer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/certs/token"
	"github.com/fairlead/fairlead/mesh"
)

var web = Pod{Name: mesh.Name{Namespace: "shop", Name: "web-1"}, UID: "uid-1", ServiceAccount: "web"}

func authenticator(t testing.TB, keys token.KeySource) *token.JWT {
	t.Helper()
	j, err := token.NewJWT(token.JWTConfig{Issuers: []string{Name}, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// The control plane takes local tokens by the code that takes a cluster's.
func TestTokensAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, err := New()
		if err != nil {
			t.Fatal(err)
		}
		jwks, err := i.JWKS()
		if err != nil {
			t.Fatal(err)
		}
		set, err := token.ParseKeySet("own", jwks)
		if err != nil {
			t.Fatal(err)
		}
		minted, end, err := i.Mint(web, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		want := token.Caller{Namespace: "shop", ServiceAccount: "web", PodName: "web-1", PodUID: "uid-1", Expiry: end}
		for reason, keys := range map[string]token.KeySource{"the issuer itself": i, "its JWKS": set} {
			got, err := authenticator(t, keys).Authenticate(t.Context(), string(minted.Reveal()))
			if err != nil || !got.Expiry.Equal(end) {
				t.Errorf("%s: %+v %v", reason, got, err)
			}
			if got.Expiry = end; got != want {
				t.Errorf("%s: %+v", reason, got)
			}
		}
		if s := fmt.Sprintf("%v %+v %#v %s", minted, minted, i, i); strings.Contains(s, string(minted.Reveal())) {
			t.Error("a token can be printed")
		}
		other, err := New()
		if err != nil {
			t.Fatal(err)
		}
		_, err = authenticator(t, other).Authenticate(t.Context(), string(minted.Reveal()))
		if token.ReasonOf(err) != token.UnknownKey {
			t.Errorf("under another key: %v", err)
		}
		time.Sleep(time.Hour + token.DefaultLeeway + time.Second)
		_, err = authenticator(t, i).Authenticate(t.Context(), string(minted.Reveal()))
		if token.ReasonOf(err) != token.Expired {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestMintNeedsAPod(t *testing.T) {
	i, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Pod{{}, {Name: web.Name}, {Name: mesh.Name{Name: "x"}, UID: "u"}, {Name: mesh.Name{Namespace: "x"}, UID: "u"}} {
		if _, _, err := i.Mint(p, time.Hour); err == nil {
			t.Errorf("a token for %+v", p)
		}
	}
	minted, _, err := i.Mint(Pod{Name: web.Name, UID: "u"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := authenticator(t, i).Authenticate(t.Context(), string(minted.Reveal())); err != nil || c.ServiceAccount != "default" {
		t.Errorf("%+v %v", c, err)
	}
}

// A restart, or two starts at once, keep the key: running pods' tokens stay good.
func TestKeySurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "issuer")
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			i, err := LoadOrCreate(dir)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[i.String()] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d keys", len(seen))
	}
	path := filepath.Join(dir, "issuer.key")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	for _, spoiled := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path, []byte(spoiled), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreate(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", spoiled, err)
		}
	}
}
