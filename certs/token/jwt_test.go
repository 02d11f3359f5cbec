package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestJWTAccepts(t *testing.T) {
	s := newSigner(t, "k1")
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := &signer{t: t, id: "k2", alg: jose.RS256, key: big}
	j := newTestJWT(t, keySet(t, s, r))
	with := func(change func(map[string]any)) string {
		c := claims()
		change(c)
		return s.sign(c)
	}
	for _, c := range []struct{ reason, token string }{
		{"ECDSA", s.sign(claims())},
		{"RSA", r.sign(claims())},
		{"one audience as a string", with(func(c map[string]any) { c["aud"] = "fairlead" })},
		{"one of several audiences", with(func(c map[string]any) { c["aud"] = []string{"x", "fairlead"} })},
		{"ended within the leeway", with(func(c map[string]any) { c["exp"] = time.Now().Add(-5 * time.Second).Unix() })},
		{"valid soon, within the leeway", with(func(c map[string]any) { c["nbf"] = time.Now().Add(5 * time.Second).Unix() })},
		{"without nbf and iat", with(func(c map[string]any) { delete(c, "nbf"); delete(c, "iat") })},
	} {
		for _, how := range []string{"", ", from the cache"} {
			got, err := j.Authenticate(t.Context(), c.token)
			if err != nil {
				t.Errorf("%s%s: %v", c.reason, how, err)
				continue
			}
			if got.Expiry.IsZero() {
				t.Errorf("%s%s: no expiry", c.reason, how)
			}
			got.Expiry = time.Time{}
			if got != want {
				t.Errorf("%s%s: %+v", c.reason, how, got)
			}
		}
	}
}

// Every way to be refused, with its reason.
func TestJWTRefuses(t *testing.T) {
	s, other := newSigner(t, "k1"), newSigner(t, "k2")
	impostor := newSigner(t, "k1") // another key under the same name
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := &signer{t: t, id: "rsa", alg: jose.RS256, key: big}
	j := newTestJWT(t, keySet(t, s, r))
	good := s.sign(claims())
	header, payload, signature := split(good)

	with := func(change func(map[string]any)) string {
		c := claims()
		change(c)
		return s.sign(c)
	}
	kube := func(change func(map[string]any)) string {
		return with(func(c map[string]any) {
			k := maps.Clone(c["kubernetes.io"].(map[string]any))
			change(k)
			c["kubernetes.io"] = k
		})
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	public, err := x509.MarshalPKIXPublicKey(big.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	hs256 := func(secret []byte, id string) string {
		return sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: id}}, nil, claims())
	}
	tampered := strings.Replace(decode(t, payload), ":web", ":adm", 1)

	for _, c := range []struct {
		why    string
		token  string
		reason Reason
	}{
		{"nothing", "", Missing},
		{"no JWT", "opaque-token", Malformed},
		{"four parts", good + ".x", Malformed},
		{"a line break after it", good + "\n", Malformed},
		{"oversized", strings.Repeat("A", maxTokenBytes) + ".e30.x", Malformed},
		{"header that is no JSON", encode("x") + "." + payload + "." + signature, Malformed},
		{"empty parts", "..", BadAlgorithm},
		{"JSON serialization", `{"payload":"` + payload + `"}`, Malformed},
		{"alg none", encode(`{"alg":"none","kid":"k1"}`) + "." + payload + ".", BadAlgorithm},
		{"alg NoNe", encode(`{"alg":"NoNe","kid":"k1"}`) + "." + payload + ".", BadAlgorithm},
		{"no alg", encode(`{"kid":"k1"}`) + "." + payload + "." + signature, BadAlgorithm},
		{"HS256 with the public key in PEM as the secret", hs256(publicPEM, "rsa"), BadAlgorithm},
		{"HS256 with the public key in DER as the secret", hs256(public, "rsa"), BadAlgorithm},
		{"PS256 with an RS256 key", (&signer{t: t, id: "rsa", alg: jose.PS256, key: big}).sign(claims()), BadAlgorithm},
		{"RS512 with an RS256 key", (&signer{t: t, id: "rsa", alg: jose.RS512, key: big}).sign(claims()), BadAlgorithm},
		{"the header claims the other key's type", encode(`{"alg":"RS256","kid":"k1"}`) + "." + payload + "." + signature, BadAlgorithm},
		{"no kid", (&signer{t: t, alg: jose.ES256, key: s.key}).sign(claims()), Malformed},
		{"a key that the issuer does not have", other.sign(claims()), UnknownKey},
		{"a key of its own in the header", sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: impostor.key, KeyID: "k1"}}, &jose.SignerOptions{EmbedJWK: true}, claims()), Malformed},
		{"another key under the same name", impostor.sign(claims()), BadSignature},
		{"tampered payload", header + "." + encode(tampered) + "." + signature, BadSignature},
		{"the payload of another token", header + "." + second(with(func(c map[string]any) { c["jti"] = "2" })) + "." + signature, BadSignature},
		{"no signature", header + "." + payload + ".", BadSignature},
		{"cut signature", good[:len(good)-4], BadSignature},
		{"an extension that must be understood", sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: "k1"}}, (&jose.SignerOptions{}).WithHeader("crit", []string{"exp"}), claims()), BadSignature},
		{"claims that are no object", signRaw(t, s, `["x"]`), Malformed},
		{"claims that are no JSON", signRaw(t, s, `{"iss":`), Malformed},
		{"a claim twice", signRaw(t, s, `{"iss":"a","iss":"b"}`), Malformed},
		{"claims of another shape", with(func(c map[string]any) { c["kubernetes.io"] = "x" }), Malformed},
		{"exp that is no number", with(func(c map[string]any) { c["exp"] = "tomorrow" }), Malformed},
		{"exp beyond all time", with(func(c map[string]any) { c["exp"] = 1e300 }), Malformed},
		{"no exp", with(func(c map[string]any) { delete(c, "exp") }), Malformed},
		{"another issuer", with(func(c map[string]any) { c["iss"] = "https://other" }), WrongIssuer},
		{"no issuer", with(func(c map[string]any) { delete(c, "iss") }), WrongIssuer},
		{"expired", with(func(c map[string]any) { c["exp"] = in(-time.Minute) }), Expired},
		{"exp 0", with(func(c map[string]any) { c["exp"] = 0 }), Expired},
		{"not yet valid", with(func(c map[string]any) { c["nbf"] = in(time.Minute) }), NotYetValid},
		{"issued in the future", with(func(c map[string]any) { c["iat"] = in(time.Minute) }), NotYetValid},
		{"foreign audience", with(func(c map[string]any) { c["aud"] = []string{issuerName} }), WrongAudience},
		{"an audience that begins like ours", with(func(c map[string]any) { c["aud"] = []string{"fairlead2"} }), WrongAudience},
		{"no audience", with(func(c map[string]any) { delete(c, "aud") }), WrongAudience},
		{"no pod", kube(func(k map[string]any) { delete(k, "pod") }), NotBound},
		{"a pod without UID", kube(func(k map[string]any) { k["pod"] = map[string]any{"name": "web-1"} }), NotBound},
		{"a pod without name", kube(func(k map[string]any) { k["pod"] = map[string]any{"uid": "u"} }), NotBound},
		{"bound to a Secret", kube(func(k map[string]any) { delete(k, "pod"); k["secret"] = map[string]any{"name": "x", "uid": "u"} }), NotBound},
		{"no claims of Kubernetes", with(func(c map[string]any) { delete(c, "kubernetes.io") }), NotBound},
		{"no namespace", kube(func(k map[string]any) { delete(k, "namespace") }), NotBound},
		{"an account without UID", kube(func(k map[string]any) { k["serviceaccount"] = map[string]any{"name": "web"} }), NotBound},
		{"a subject of another account", with(func(c map[string]any) { c["sub"] = "system:serviceaccount:shop:admin" }), WrongSubject},
		{"a subject of another namespace", with(func(c map[string]any) { c["sub"] = "system:serviceaccount:bank:web" }), WrongSubject},
		{"a user as the subject", with(func(c map[string]any) { c["sub"] = "kubernetes-admin" }), WrongSubject},
		{"names that make the same subject differently", kube(func(k map[string]any) {
			k["namespace"] = "shop:web"
			k["serviceaccount"] = map[string]any{"name": "", "uid": "u"}
		}), NotBound},
	} {
		t.Run(c.why, func(t *testing.T) {
			for range 2 { // the second time is no different: refusals are not remembered
				caller, err := j.Authenticate(t.Context(), c.token)
				if caller != (Caller{}) {
					t.Errorf("it is %+v", caller)
				}
				checkRefusal(t, err, c.token, c.reason)
			}
		})
	}
	if j.cache.lru.Len() != 0 {
		t.Errorf("%d refused tokens in the cache", j.cache.lru.Len())
	}
}

func TestEveryReasonSaysTheWayOut(t *testing.T) {
	for _, r := range []Reason{Missing, Malformed, BadAlgorithm, UnknownKey, BadSignature, WrongIssuer, WrongAudience, Expired, NotYetValid, NotBound, WrongSubject, Rejected, DeadPod, Unavailable} {
		if wayOut[r] == "" {
			t.Errorf("%s: no way out", r)
		}
	}
}

// signRaw signs what no builder of tokens would.
func signRaw(t *testing.T, s *signer, payload string) string {
	t.Helper()
	js, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := js.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func split(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

func second(token string) string { _, p, _ := split(token); return p }

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func decode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKeysThatCannotBeHad(t *testing.T) {
	s := newSigner(t, "k1")
	cause := errors.New("connection refused")
	j := newTestJWT(t, keysFunc(func(context.Context, string) (Key, error) { return Key{}, cause }))
	token := s.sign(claims())
	_, err := j.Authenticate(t.Context(), token)
	checkRefusal(t, err, token, Unavailable)
	if !errors.Is(err, cause) {
		t.Errorf("the cause is not told: %v", err)
	}
}

// The cache ends with the token, and with what may be believed of its key; it holds
// a bounded number and no token.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, "k1")
		var asked atomic.Int64
		withdrawn := false
		set := keySet(t, s)
		j, err := NewJWT(JWTConfig{Issuers: []string{issuerName}, CacheSize: 2, Keys: keysFunc(func(ctx context.Context, id string) (Key, error) {
			asked.Add(1)
			if withdrawn {
				return Key{}, ErrUnknownKey
			}
			return set.Key(ctx, id)
		})})
		if err != nil {
			t.Fatal(err)
		}
		auth := func(token string, reason Reason, asks int64) {
			t.Helper()
			before := asked.Load()
			_, err := j.Authenticate(t.Context(), token)
			if got := ReasonOf(err); got != reason {
				t.Errorf("%q, want %q: %v", got, reason, err)
			}
			if got := asked.Load() - before; got != asks {
				t.Errorf("asked for keys %d times, want %d", got, asks)
			}
		}
		short := claims()
		short["exp"] = time.Now().Add(time.Minute).Unix()
		brief, long := s.sign(short), s.sign(claims())
		auth(brief, "", 1)
		auth(brief, "", 0)
		time.Sleep(time.Minute + DefaultLeeway)
		auth(brief, "", 0) // within the leeway still
		time.Sleep(time.Second)
		auth(brief, Expired, 1)

		auth(long, "", 1)
		time.Sleep(jwtCacheTTL)
		auth(long, "", 0)
		withdrawn = true
		time.Sleep(time.Second)
		auth(long, UnknownKey, 1)
		withdrawn = false

		for i := range 10 {
			c := claims()
			c["jti"] = fmt.Sprint(i)
			auth(s.sign(c), "", 1)
		}
		if n := j.cache.lru.Len(); n != 2 {
			t.Errorf("%d entries in a cache of 2", n)
		}
	})
}

func TestAuthenticateFromManyAtOnce(t *testing.T) {
	s := newSigner(t, "k1")
	j := NewLivePods(newTestJWT(t, keySet(t, s)), func(uid string) bool { return uid == "uid-1" }, nil)
	tokens := make([]string, 8)
	for i := range tokens {
		c := claims()
		c["jti"] = fmt.Sprint(i)
		tokens[i] = s.sign(c)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 50 {
				if _, err := j.Authenticate(t.Context(), tokens[(i+n)%len(tokens)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzAuthenticate(f *testing.F) {
	s := newSigner(f, "k1")
	j := newTestJWT(f, keySet(f, s))
	good := s.sign(claims())
	h, p, sig := split(good)
	for _, seed := range []string{"", "..", good, h + "." + p + ".", encode(`{"alg":"none"}`) + "." + p + ".", encode(`{"alg":"ES256","kid":"k1","b64":false,"crit":["b64"]}`) + "." + p + "." + sig} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		caller, err := j.Authenticate(t.Context(), token)
		if err == nil && token != good {
			t.Errorf("accepted: %+v", caller)
		}
		if err != nil && ReasonOf(err) == "" {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

// FuzzClaims signs whatever comes, so that the claims are reached.
func FuzzClaims(f *testing.F) {
	e := expected{issuers: []string{issuerName}, audience: DefaultAudience, leeway: DefaultLeeway}
	f.Add([]byte(`{"iss":"` + issuerName + `","aud":"fairlead","exp":99999999999,"sub":"system:serviceaccount:a:b","kubernetes.io":{"namespace":"a","pod":{"name":"p","uid":"u"},"serviceaccount":{"name":"b","uid":"v"}}}`))
	f.Add([]byte(`{"exp":null,"aud":[null]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseClaims(payload)
		if err == nil {
			err = e.check(&c, time.Now())
		}
		if err != nil {
			return
		}
		caller := c.caller()
		if caller.Namespace == "" || caller.ServiceAccount == "" || caller.PodName == "" || caller.PodUID == "" || c.Subject != Subject(caller.Namespace, caller.ServiceAccount) {
			t.Errorf("accepted %+v of %s", caller, payload)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	s := newSigner(b, "k1")
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	r := &signer{t: b, id: "k2", alg: jose.RS256, key: big}
	set := keySet(b, s, r)
	for _, c := range []struct {
		name, token string
		forget      bool
	}{
		{"RS256", r.sign(claims()), true},
		{"ES256", s.sign(claims()), true},
		{"cached", s.sign(claims()), false},
	} {
		b.Run(c.name, func(b *testing.B) {
			j := newTestJWT(b, set)
			b.ReportAllocs()
			for b.Loop() {
				if c.forget {
					j.cache.lru.Purge()
				}
				if _, err := j.Authenticate(b.Context(), c.token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
