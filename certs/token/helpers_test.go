package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

const issuerName = "https://kubernetes.default.svc.cluster.local"

var want = Caller{Namespace: "shop", ServiceAccount: "web", PodName: "web-1", PodUID: "uid-1"}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// signer makes tokens as the API server does.
type signer struct {
	t   testing.TB
	id  string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func newSigner(t testing.TB, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t: t, id: id, alg: jose.ES256, key: key}
}

// claims are those of a good token; a test changes what it is about.
func claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": issuerName,
		"sub": "system:serviceaccount:shop:web",
		"aud": []string{"fairlead"},
		"exp": now.Add(time.Hour).Unix(),
		"nbf": now.Unix(),
		"iat": now.Unix(),
		"jti": "1",
		"kubernetes.io": map[string]any{
			"namespace":      "shop",
			"node":           map[string]any{"name": "node-1", "uid": "n"},
			"pod":            map[string]any{"name": "web-1", "uid": "uid-1"},
			"serviceaccount": map[string]any{"name": "web", "uid": "sa"},
		},
	}
}

func (s *signer) sign(claims any) string {
	s.t.Helper()
	return sign(s.t, jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, nil, claims)
}

func sign(t testing.TB, key jose.SigningKey, opts *jose.SignerOptions, claims any) string {
	t.Helper()
	js, err := jose.NewSigner(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jwt.Signed(js).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Algorithm: string(s.alg), Use: "sig"}
}

func jwks(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keySet(t testing.TB, signers ...*signer) *KeySet {
	t.Helper()
	var keys []jose.JSONWebKey
	for _, s := range signers {
		keys = append(keys, s.jwk())
	}
	set, err := ParseKeySet("test", jwks(t, keys...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func newTestJWT(t testing.TB, keys KeySource) *JWT {
	t.Helper()
	j, err := NewJWT(JWTConfig{Issuers: []string{issuerName}, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// checkRefusal holds an error to the contract: an *Error of that reason that does
// not quote the token.
func checkRefusal(t *testing.T, err error, token string, reason Reason) {
	t.Helper()
	if got := ReasonOf(err); got != reason {
		t.Errorf("refused for %q, want %q: %v", got, reason, err)
	}
	if err == nil {
		return
	}
	for _, part := range append(strings.Split(token, "."), token) {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Error("the error quotes the token")
		}
	}
}

// keysFunc is a KeySource in a function.
type keysFunc func(ctx context.Context, id string) (Key, error)

func (f keysFunc) Key(ctx context.Context, id string) (Key, error) { return f(ctx, id) }
