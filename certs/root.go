package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/fairlead/fairlead/certs/internal/files"
)

const (
	rootLife     = 10 * 365 * 24 * time.Hour
	rootBackdate = time.Hour
)

// newRoot makes a root for the trust domain. It signs leaves only (path length 0)
// and, of URIs, only those of its trust domain: a root that gets into another
// mesh's bundle by mistake opens nothing there. DNS names are not constrained,
// because a root outlives the names under which the control plane is reached.
// Its own URI is the trust domain (SPIFFE X509-SVID, section 3.2).
func newRoot(trustDomain string, now time.Time) (material, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return material{}, fmt.Errorf("making the root's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return material{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return material{}, fmt.Errorf("making the root's key: %w", err)
	}
	sum := sha256.Sum256(spki)
	t := &x509.Certificate{
		SerialNumber: serial,
		// The key's name makes the subject unique: a verifier that looks issuers up by
		// subject must not take the new root for the old one.
		Subject:               pkix.Name{Organization: []string{"Fairlead"}, CommonName: "root of " + trustDomain + " " + hex.EncodeToString(sum[:4])},
		NotBefore:             now.Add(-rootBackdate),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          sum[:20], // RFC 7093, section 2, method 1
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: trustDomain}},

		PermittedDNSDomainsCritical: true, // of the whole extension
		PermittedURIDomains:         []string{trustDomain},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return material{}, fmt.Errorf("signing the root of %s: %w", trustDomain, err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return material{}, fmt.Errorf("signing the root of %s: %w", trustDomain, err)
	}
	return material{
		chain: []*x509.Certificate{root}, key: key, roots: NewBundle(root),
		chainName: "the new root", keyName: "the new root's key", rootsName: "the new root",
	}, nil
}

// createRoot makes a root in dir if there is none. Key and certificate are one
// file, so that one exclusive create decides which of several processes made it;
// the bundle follows from that file, whoever writes it.
func createRoot(dir, trustDomain string) error {
	own := OwnFiles(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of the CA: %w; name another, or make it writable", err)
	}
	if _, err := os.Stat(own.Key); errors.Is(err, fs.ErrNotExist) {
		m, err := newRoot(trustDomain, time.Now())
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(m.key)
		if err != nil {
			return fmt.Errorf("writing the root's key: %w", err)
		}
		content := appendPEM(appendPEM(nil, pkcs8Block, der), certificateBlock, m.chain[0].Raw)
		if err := files.CreateExclusive(own.Key, content, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("writing the new CA: %w", err)
		}
	}
	if _, err := os.Stat(own.Roots); errors.Is(err, fs.ErrNotExist) {
		content, err := readFile(own.Chain)
		if err != nil {
			return err
		}
		chain, err := parseCertificates(own.Chain, content)
		if err != nil {
			return err
		}
		// The last one of the chain is the root of what stands before it.
		bundle := NewBundle(chain[len(chain)-1])
		if err := files.CreateExclusive(own.Roots, bundle.PEM(), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("writing the trust bundle: %w", err)
		}
	}
	return nil
}
