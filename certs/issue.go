package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// maxBackdate is how far a verifier's clock may be behind ours.
const maxBackdate = 5 * time.Minute

// backdate is how long before its issue a certificate of that life becomes valid.
// It is bounded by the life, so that a life of seconds stays one of seconds.
func backdate(life time.Duration) time.Duration { return min(maxBackdate, life) }

// Issue makes a key and a leaf for id. The caller has proved the identity; that it
// is one of this trust domain is checked. An error of ctx is returned as it is: a
// caller that has left needs no certificate.
func (a *Authority) Issue(ctx context.Context, id mesh.Identity) (Leaf, error) {
	if err := ctx.Err(); err != nil {
		return Leaf{}, err
	}
	if err := a.checkIdentity(id); err != nil {
		return Leaf{}, err
	}
	s := a.state.Load().signer
	now := time.Now()
	c, err := s.sign(leafTemplate(uriNames(id), now, a.ttl))
	if err != nil {
		return Leaf{}, fmt.Errorf("certificate for %s: %w", id, err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return Leaf{}, fmt.Errorf("certificate for %s: %w", id, err)
	}
	chain := make([]byte, 0, pemSize(certificateBlock, len(c.der))+len(s.abovePEM))
	chain = append(appendPEM(chain, certificateBlock, c.der), s.abovePEM...)
	v := leafVersion{
		notAfter:    c.notAfter.Unix(),
		life:        c.notAfter.Unix() - now.Unix(),
		issuerKeyID: s.keyID,
	}
	return Leaf{
		CertificateChainPEM: chain,
		PrivateKeyPEM:       NewSensitive(appendPEM(make([]byte, 0, pemSize(pkcs8Block, len(key))), pkcs8Block, key)),
		NotBefore:           c.notBefore,
		NotAfter:            c.notAfter,
		RenewAt:             RenewAt(now, c.notAfter, a.jitter()),
		IssuerKeyID:         s.keyID,
		version:             v.sign(s.versionKey, id),
	}, nil
}

// names are the subject alternative names of a certificate.
type names struct {
	uris []*url.URL
	dns  []string
	ips  []net.IP
}

// uriNames is the one URI of an X509-SVID (SPIFFE X509-SVID, section 2).
func uriNames(id mesh.Identity) names {
	return names{uris: []*url.URL{{
		Scheme: "spiffe",
		Host:   id.TrustDomain,
		Path:   "/ns/" + id.Account.Namespace + "/sa/" + id.Account.Name,
	}}}
}

// leafTemplate is a certificate without subject: the names are all in the SAN,
// which x509 then makes critical (RFC 5280, section 4.2.1.6).
func leafTemplate(n names, now time.Time, ttl time.Duration) *x509.Certificate {
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if len(n.uris) > 0 { // a workload is both
		usage = append(usage, x509.ExtKeyUsageClientAuth)
	}
	return &x509.Certificate{
		NotBefore:             now.Add(-backdate(ttl)),
		NotAfter:              now.Add(ttl),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usage,
		BasicConstraintsValid: true,
		URIs:                  n.uris,
		DNSNames:              n.dns,
		IPAddresses:           n.ips,
	}
}

// signed is a certificate and the key that was made for it.
type signed struct {
	der                 []byte
	key                 *ecdsa.PrivateKey
	notBefore, notAfter time.Time
}

// sign makes a key and signs t for it, within the life of the certificates above.
func (s *issuer) sign(t *x509.Certificate) (signed, error) {
	if t.NotAfter.After(s.notAfter) {
		t.NotAfter = s.notAfter
	}
	if t.NotBefore.Before(s.certificate.NotBefore) {
		t.NotBefore = s.certificate.NotBefore
	}
	t.NotBefore, t.NotAfter = t.NotBefore.UTC().Truncate(time.Second), t.NotAfter.UTC().Truncate(time.Second)
	if !time.Now().Before(t.NotAfter) {
		return signed{}, fmt.Errorf("the CA's chain expired at %s; replace the CA", s.notAfter.UTC().Format(time.RFC3339))
	}
	serial, err := newSerial()
	if err != nil {
		return signed{}, err
	}
	t.SerialNumber = serial
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signed{}, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, s.certificate, &key.PublicKey, s.key)
	if err != nil {
		return signed{}, fmt.Errorf("signing: %w", err)
	}
	return signed{der: der, key: key, notBefore: t.NotBefore, notAfter: t.NotAfter}, nil
}

// newSerial returns 128 random bits, never 0 (RFC 5280, section 4.1.2.2).
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	b[15] |= 1
	return new(big.Int).SetBytes(b[:]), nil
}
