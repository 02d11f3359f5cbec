package localissuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/internal/files"
	"github.com/fairlead/fairlead/certs/token"
	"github.com/fairlead/fairlead/mesh"
)

// Name is the iss claim of the tokens.
const Name = "https://issuer.fairlead.local"

// DefaultTokenLife is the life of a token unless the Projector's says another.
const DefaultTokenLife = time.Hour

// Pod is who a token is made for.
type Pod struct {
	Name           mesh.Name
	UID            string
	ServiceAccount string // "default" if ""
}

// Issuer signs tokens. It is the token.KeySource that verifies them. Safe for
// concurrent use.
type Issuer struct {
	signer jose.Signer
	public jose.JSONWebKey
}

// LoadOrCreate loads the issuer whose key is in dir (issuer.key, mode 0600), or
// makes one there: tokens stay good over a restart. Of several processes that start
// at once, one makes the key and all load it.
func LoadOrCreate(dir string) (*Issuer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the token issuer: %w; name another, or make it writable", err)
	}
	path := filepath.Join(dir, "issuer.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createKey(path); err != nil {
			return nil, err
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key of the token issuer: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM in it; remove it to have a new key made", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: not an ECDSA P-256 key in PKCS #8; remove it to have a new one made", path)
	}
	return newIssuer(key)
}

// New returns an issuer whose key lives in memory only.
func New() (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of the token issuer: %w", err)
	}
	return newIssuer(key)
}

func createKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of the token issuer: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("making the key of the token issuer: %w", err)
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := files.CreateExclusive(path, content, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key of the token issuer: %w", err)
	}
	return nil
}

func newIssuer(key *ecdsa.PrivateKey) (*Issuer, error) {
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("key of the token issuer: %w", err)
	}
	sum := sha256.Sum256(spki)
	id := base64.RawURLEncoding.EncodeToString(sum[:]) // how the API server names its keys
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		return nil, fmt.Errorf("key of the token issuer: %w", err)
	}
	return &Issuer{
		signer: signer,
		public: jose.JSONWebKey{Key: &key.PublicKey, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"},
	}, nil
}

// Key returns the public key of that id (token.KeySource).
func (i *Issuer) Key(_ context.Context, id string) (token.Key, error) {
	if id != i.public.KeyID {
		return token.Key{}, token.ErrUnknownKey
	}
	return token.Key{ID: id, Algorithm: i.public.Algorithm, Public: i.public.Key}, nil
}

// JWKS returns the document that an API server has at /openid/v1/jwks.
func (i *Issuer) JWKS() ([]byte, error) {
	b, err := (&jose.JSONWebKey{Key: i.public.Key, KeyID: i.public.KeyID, Algorithm: i.public.Algorithm, Use: i.public.Use}).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("JWKS of the token issuer: %w", err)
	}
	return append(append([]byte(`{"keys":[`), b...), "]}"...), nil
}

// Mint makes a token for p, for the audience "fairlead", that ends at the returned
// time.
func (i *Issuer) Mint(p Pod, life time.Duration) (certs.Sensitive, time.Time, error) {
	if p.Name.Namespace == "" || p.Name.Name == "" || p.UID == "" {
		return certs.Sensitive{}, time.Time{}, fmt.Errorf("token for pod %s: namespace, name and UID are needed", p.Name)
	}
	if p.ServiceAccount == "" {
		p.ServiceAccount = "default"
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return certs.Sensitive{}, time.Time{}, fmt.Errorf("token for pod %s: %w", p.Name, err)
	}
	now := time.Now()
	end := now.Add(life).Truncate(time.Second)
	serialized, err := jwt.Signed(i.signer).Claims(token.Claims{
		Claims: jwt.Claims{
			Issuer:    Name,
			Subject:   token.Subject(p.Name.Namespace, p.ServiceAccount),
			Audience:  jwt.Audience{token.DefaultAudience},
			Expiry:    jwt.NewNumericDate(end),
			NotBefore: jwt.NewNumericDate(now),
			IssuedAt:  jwt.NewNumericDate(now),
			ID:        hex.EncodeToString(id[:]),
		},
		Kubernetes: token.Bound{
			Namespace: p.Name.Namespace,
			Pod:       &token.Ref{Name: p.Name.Name, UID: p.UID},
			ServiceAccount: token.Ref{
				Name: p.ServiceAccount,
				UID:  accountUID(p.Name.Namespace, p.ServiceAccount),
			},
		},
	}).Serialize()
	if err != nil {
		return certs.Sensitive{}, time.Time{}, fmt.Errorf("token for pod %s: %w", p.Name, err)
	}
	return certs.NewSensitive([]byte(serialized)), end, nil
}

// accountUID is a UID that the same account always has: nobody made the account.
func accountUID(namespace, name string) string {
	sum := sha256.Sum256([]byte("serviceaccount\x00" + namespace + "\x00" + name))
	sum[6] = sum[6]&0x0f | 0x80 // RFC 9562, section 5.8
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// String names the issuer and its key.
func (i *Issuer) String() string { return Name + " (key " + i.public.KeyID + ")" }

// GoString is String: for %#v.
func (i *Issuer) GoString() string { return i.String() }
