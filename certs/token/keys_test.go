package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestParseKeySetTakesWhatVerifies(t *testing.T) {
	s := newSigner(t, "good")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := []jose.JSONWebKey{
		{Key: []byte("shared secret"), KeyID: "oct"},
		{Key: &small.PublicKey, KeyID: "weak"},
		{Key: edwards, KeyID: "ed"},
		{Key: private, KeyID: "private"},
		{Key: s.key.Public(), KeyID: "enc", Use: "enc"},
		{Key: s.key.Public()},
		s.jwk(),
		{Key: private.Public(), KeyID: "good"}, // the name is taken
	}
	b := jwks(t, keys...)
	b = append([]byte(`{"keys":[{"kty":"NEW","kid":"future"},`), b[len(`{"keys":[`):]...)
	set, err := ParseKeySet("test", b)
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 1 {
		t.Errorf("%d keys, want the good one only", set.Len())
	}
	if k, err := set.Key(t.Context(), "good"); err != nil || !s.key.Public().(*ecdsa.PublicKey).Equal(k.Public) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":"x"}`, `[1]`, `{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`} {
		if _, err := ParseKeySet("the-file", []byte(bad)); err == nil || !strings.Contains(err.Error(), "the-file") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzParseKeySet(f *testing.F) {
	f.Add(jwks(f, newSigner(f, "k").jwk()))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":"","kid":"k"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := ParseKeySet("fuzz", b)
		if err == nil && set.Len() == 0 {
			t.Error("an empty set")
		}
	})
}

// issuerStub is the issuer's end of a FetchedKeys.
type issuerStub struct {
	mu      sync.Mutex
	body    []byte
	err     error
	fetches atomic.Int64
}

func (i *issuerStub) set(body []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.body, i.err = body, err
}

func (i *issuerStub) fetch(context.Context) ([]byte, error) {
	i.fetches.Add(1)
	time.Sleep(100 * time.Millisecond) // in a bubble: others come meanwhile
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.body, i.err
}

// A new key is found at once, made-up names cost the issuer nothing, and an issuer
// that is down takes no known key away.
func TestFetchedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newSigner(t, "one"), newSigner(t, "two")
		stub := &issuerStub{}
		f := newFetched("stub", 10*time.Second, 5*time.Minute, silent, stub.fetch)
		down := errors.New("connection refused")
		look := func(id string, want error, fetches int64) {
			t.Helper()
			before := stub.fetches.Load()
			_, err := f.Key(t.Context(), id)
			synctest.Wait()
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s: %v, want %v", id, err, want)
			}
			if got := stub.fetches.Load() - before; got != fetches {
				t.Errorf("%s: %d fetches, want %d", id, got, fetches)
			}
		}
		stub.set(nil, down)
		look("one", down, 1)
		look("one", down, 0) // not again at once
		stub.set(jwks(t, one.jwk()), nil)
		time.Sleep(10 * time.Second)

		var wg sync.WaitGroup // many at once share one fetch
		before := stub.fetches.Load()
		for range 20 {
			wg.Go(func() {
				if _, err := f.Key(t.Context(), "one"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := stub.fetches.Load() - before; got != 1 {
			t.Errorf("%d fetches for 20 callers", got)
		}

		look("two", ErrUnknownKey, 0)
		for i := range 100 {
			look(fmt.Sprint("made-up-", i), ErrUnknownKey, 0)
		}
		stub.set(jwks(t, one.jwk(), two.jwk()), nil)
		time.Sleep(10 * time.Second)
		look("two", nil, 1)

		stub.set(nil, down)
		time.Sleep(time.Hour)
		look("one", nil, 1) // stale, and used; the fetch goes on behind it
		time.Sleep(time.Second)
		look("two", nil, 0)
		look("three", down, 0) // nobody knows whether it exists

		stub.set(jwks(t, two.jwk()), nil) // one is withdrawn
		time.Sleep(time.Hour)
		look("one", nil, 1)
		time.Sleep(time.Second)
		look("one", ErrUnknownKey, 0)
		look("two", nil, 0)

		time.Sleep(10 * time.Second)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Key(gone, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has left: %v", err)
		}
		time.Sleep(time.Second) // its fetch goes on without it, and ends
	})
}

func TestFileKeysFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	f := FileKeys(path, silent)
	if err := f.Check(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without a file: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		one, two := newSigner(t, "one"), newSigner(t, "two")
		put := func(b []byte) {
			t.Helper()
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(jwks(t, one.jwk()))
		f := FileKeys(path, silent)
		if err := f.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(jwks(t, two.jwk()))
		time.Sleep(2 * time.Second)
		if _, err := f.Key(t.Context(), "two"); err != nil {
			t.Error(err)
		}
		put([]byte("spoiled"))
		time.Sleep(time.Minute)
		if _, err := f.Key(t.Context(), "two"); err != nil {
			t.Errorf("the last good set is not used: %v", err)
		}
		put(make([]byte, maxJWKS+1))
		time.Sleep(time.Minute)
		if _, err := f.Key(t.Context(), "three"); err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("oversized: %v", err)
		}
	})
}

func TestURLKeys(t *testing.T) {
	s := newSigner(t, "one")
	dir := t.TempDir()
	tokenFile, rootsFile := filepath.Join(dir, "token"), filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(tokenFile, []byte("the-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/openid/v1/jwks", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(jwks(t, s.jwk()))
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) {
		for range 2 * maxJWKS / 1024 {
			if _, err := w.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	})
	mux.Handle("/moved", http.RedirectHandler("/openid/v1/jwks", http.StatusFound))
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = slog.NewLogLogger(silent.Handler(), slog.LevelError)
	server.StartTLS()
	defer server.Close()
	if err := os.WriteFile(rootsFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason string
		config URLConfig
		says   string
	}{
		{"as the API server", URLConfig{URL: server.URL + "/openid/v1/jwks", RootsFile: rootsFile, TokenFile: tokenFile}, ""},
		{"without a token", URLConfig{URL: server.URL + "/openid/v1/jwks", RootsFile: rootsFile}, "401"},
		{"with the system's roots", URLConfig{URL: server.URL + "/openid/v1/jwks", TokenFile: tokenFile}, "certificate"},
		{"oversized", URLConfig{URL: server.URL + "/huge", RootsFile: rootsFile}, "larger than"},
		{"redirected", URLConfig{URL: server.URL + "/moved", RootsFile: rootsFile, TokenFile: tokenFile}, "redirects"},
		{"not there", URLConfig{URL: server.URL + "/other", RootsFile: rootsFile}, "404"},
		{"no roots file", URLConfig{URL: server.URL, RootsFile: filepath.Join(dir, "none")}, "none"},
		{"roots file without roots", URLConfig{URL: server.URL, RootsFile: tokenFile}, "no certificate"},
		{"no token file", URLConfig{URL: server.URL, RootsFile: rootsFile, TokenFile: filepath.Join(dir, "none")}, "none"},
	} {
		c.config.Logger = silent
		f, err := URLKeys(c.config)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Check(t.Context())
		if (c.says == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "the-token")) {
			t.Errorf("%s: %v", c.reason, err)
		}
		if c.says != "" {
			continue
		}
		if _, err := newTestJWT(t, f).Authenticate(t.Context(), s.sign(claims())); err != nil {
			t.Error(err)
		}
	}
	for _, u := range []string{"http://kubernetes/openid/v1/jwks", "file:///etc/passwd", "", "https://", "https://user:pw@host/x", "://"} {
		if _, err := URLKeys(URLConfig{URL: u}); err == nil {
			t.Errorf("%q was accepted", u)
		}
	}
}
