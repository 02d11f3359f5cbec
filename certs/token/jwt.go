package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms that a token may be signed with: those that the API server uses.
// Never "none", never one with a shared secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

// jwtCacheTTL is how long a verified token is believed without looking again.
const jwtCacheTTL = 5 * time.Minute

// JWTConfig says which tokens a JWT accepts.
type JWTConfig struct {
	// Issuers that may stand in the iss claim; at least one. Several while a cluster
	// changes its issuer.
	Issuers []string
	// Audience that must be among those of the token; DefaultAudience if "".
	Audience string
	// Keys of the issuer.
	Keys KeySource
	// Leeway for differing clocks; DefaultLeeway if 0, none if negative.
	Leeway time.Duration
	// CacheSize is how many verified tokens are remembered; DefaultCacheSize if 0.
	CacheSize int
}

// JWT authenticates tokens by their signature, without asking anyone.
type JWT struct {
	expected expected
	keys     KeySource
	cache    *cache
}

// NewJWT returns the authenticator for the tokens that c describes.
func NewJWT(c JWTConfig) (*JWT, error) {
	if len(c.Issuers) == 0 || c.Keys == nil {
		return nil, errors.New("token authentication: an issuer and its keys are needed")
	}
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = DefaultLeeway
	case c.Leeway < 0:
		c.Leeway = 0
	}
	cache, err := newCache(c.CacheSize, jwtCacheTTL, c.Leeway)
	if err != nil {
		return nil, err
	}
	return &JWT{
		expected: expected{issuers: c.Issuers, audience: c.Audience, leeway: c.Leeway},
		keys:     c.Keys,
		cache:    cache,
	}, nil
}

// Authenticate verifies the token's signature, then its claims.
func (j *JWT) Authenticate(ctx context.Context, token string) (Caller, error) {
	if err := checkShape(token); err != nil {
		return Caller{}, err
	}
	now := time.Now()
	key := sha256.Sum256([]byte(token))
	if caller, ok := j.cache.get(key, now); ok {
		return caller, nil
	}
	payload, err := j.verify(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	claims, err := parseClaims(payload)
	if err != nil {
		return Caller{}, err
	}
	if err := j.expected.check(&claims, now); err != nil {
		return Caller{}, err
	}
	caller := claims.caller()
	j.cache.add(key, caller, now)
	return caller, nil
}

// verify returns the payload of a token whose signature is right. What go-jose says
// of a token that it cannot read is not passed on, because it may quote it.
func (j *JWT) verify(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, refuse(BadAlgorithm, "its signature algorithm is not allowed")
	}
	if err != nil || len(signed.Signatures) != 1 {
		return nil, refuse(Malformed, "it is not a signed JWT")
	}
	header := signed.Signatures[0].Protected
	if header.KeyID == "" {
		return nil, refuse(Malformed, "it does not name its key (kid)")
	}
	key, err := j.keys.Key(ctx, header.KeyID)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, refuse(UnknownKey, "the issuer publishes no key of the name that it gives")
	case err != nil:
		return nil, &Error{Reason: Unavailable, Detail: "the issuer's keys", Err: err}
	case key.Algorithm != "" && key.Algorithm != header.Algorithm:
		return nil, refuse(BadAlgorithm, "the issuer uses its key with %s only", key.Algorithm)
	}
	payload, err := signed.Verify(key.Public)
	if err != nil {
		return nil, refuse(BadSignature, "")
	}
	return payload, nil
}

// checkShape bounds what is looked at further.
func checkShape(token string) error {
	switch {
	case token == "":
		return &Error{Reason: Missing}
	case len(token) > maxTokenBytes:
		return refuse(Malformed, "it is %d bytes long, more than %d", len(token), maxTokenBytes)
	}
	dots := 0
	for _, c := range []byte(token) {
		switch {
		case c == '.':
			dots++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return refuse(Malformed, "it is not a JWT: a character in it is none of base64url's")
		}
	}
	if dots != 2 {
		return refuse(Malformed, "it is not a JWT: that has three parts, this %d", dots+1)
	}
	return nil
}

var _ fmt.Stringer = (*JWT)(nil)

// String names the issuers and the audience.
func (j *JWT) String() string {
	return fmt.Sprintf("tokens of %q for %q", j.expected.issuers, j.expected.audience)
}
