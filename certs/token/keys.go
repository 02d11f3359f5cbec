package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// ErrUnknownKey is what a KeySource says of a key that the issuer does not publish.
var ErrUnknownKey = errors.New("no key of this name")

// maxKeys bounds a key set. An issuer publishes a handful.
const maxKeys = 256

// Key is a public key that an issuer signs tokens with.
type Key struct {
	ID string
	// Algorithm is the only one that the key is used with; "" if the issuer does not
	// say.
	Algorithm string
	Public    crypto.PublicKey
}

// KeySource finds the keys of an issuer.
type KeySource interface {
	// Key returns the key of that id, or an error that is ErrUnknownKey if the issuer
	// has none; any other error means that the source could not find out. It may
	// fetch, within ctx. Safe for concurrent use.
	Key(ctx context.Context, id string) (Key, error)
}

// KeySet is a set of keys that does not change. It is a KeySource.
type KeySet struct {
	keys map[string]Key
}

// Key returns the key of that id.
func (s *KeySet) Key(_ context.Context, id string) (Key, error) {
	if k, ok := s.keys[id]; ok {
		return k, nil
	}
	return Key{}, ErrUnknownKey
}

// Len is the number of keys.
func (s *KeySet) Len() int { return len(s.keys) }

// ParseKeySet reads a JWKS (RFC 7517, section 5); name says in errors where it is
// from. Keys that cannot verify a token (other types, other uses, too weak, shared
// secrets) are left out; that none is left is an error.
func ParseKeySet(name string, jwks []byte) (*KeySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &raw); err != nil {
		return nil, fmt.Errorf("%s: not a JWKS: %w; it must be what the API server has at /openid/v1/jwks", name, err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("%s: %d keys, more than %d; is it the right document?", name, len(raw.Keys), maxKeys)
	}
	s := &KeySet{keys: map[string]Key{}}
	for _, r := range raw.Keys {
		var k jose.JSONWebKey
		if err := json.Unmarshal(r, &k); err != nil {
			continue // a type that this version does not know (RFC 7517, section 5)
		}
		if _, taken := s.keys[k.KeyID]; !taken && usable(&k) {
			s.keys[k.KeyID] = Key{ID: k.KeyID, Algorithm: k.Algorithm, Public: k.Public().Key}
		}
	}
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("%s: none of its %d keys can verify a token; it needs RSA keys of 2048 bits or ECDSA keys, with a kid", name, len(raw.Keys))
	}
	return s, nil
}

func usable(k *jose.JSONWebKey) bool {
	if k.KeyID == "" || k.Use != "" && k.Use != "sig" || !k.IsPublic() || !k.Valid() {
		return false
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return true
	}
	return false
}
