package certs

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// material is what a CA consists of, before anyone has looked whether it fits
// together. The names are for errors.
type material struct {
	chain     []*x509.Certificate // the signer's first
	key       crypto.Signer
	roots     Bundle
	chainName string
	keyName   string
	rootsName string
}

// issuer is a CA that was found to work. Immutable.
type issuer struct {
	certificate *x509.Certificate
	key         crypto.Signer
	keyID       string
	// id tells signers apart: by key and by chain.
	id    string
	roots Bundle
	// above are the certificates that go with every leaf, and their PEM.
	above    []*x509.Certificate
	abovePEM []byte
	// notAfter is the first time at which one of the certificates above a leaf
	// expires, on the path that lasts longest.
	notAfter time.Time
	// versionKey is the key of the MACs in versions. It is derived from the CA's key,
	// certificate and chain, so that every replica has the same and a change of either makes
	// every version of before void.
	versionKey []byte
}

// newIssuer checks m, up to signing a leaf and verifying it by the roots.
func newIssuer(m material, trustDomain string, now time.Time) (*issuer, error) {
	if err := m.check(now); err != nil {
		return nil, err
	}
	s := &issuer{
		certificate: m.chain[0],
		key:         m.key,
		keyID:       keyID(m.chain[0]),
		roots:       m.roots,
		notAfter:    m.chain[0].NotAfter,
	}
	for _, c := range m.chain {
		if !selfIssued(c) && !m.roots.Contains(c) { // whoever verifies has the roots
			s.above = append(s.above, c)
			s.abovePEM = appendPEM(s.abovePEM, certificateBlock, c.Raw)
		}
	}
	var err error
	if s.versionKey, err = versionKey(m.key, s.certificate, s.abovePEM); err != nil {
		return nil, fmt.Errorf("%s: %w", m.keyName, err)
	}
	sum := sha256.Sum256(s.versionKey)
	s.id = hex.EncodeToString(sum[:8])
	if s.notAfter, err = s.try(m, trustDomain, now); err != nil {
		return nil, err
	}
	return s, nil
}

// check looks at what can be said of the parts one by one.
func (m material) check(now time.Time) error {
	c := m.chain[0]
	at := m.chainName + ": certificate " + describe(c)
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Errorf("%s is not a CA's; give one that was issued with CA:TRUE and keyCertSign, its chain after it", at)
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%s may not sign certificates (key usage); have it issued with keyCertSign", at)
	case now.After(c.NotAfter):
		return fmt.Errorf("%s expired at %s; have it issued anew", at, c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%s is valid only from %s; set the clock right or wait", at, c.NotBefore.UTC().Format(time.RFC3339))
	}
	if err := checkKeyType(c.PublicKey); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(m.key.Public()) {
		return fmt.Errorf("%s: the key does not belong to certificate %s in %s; give the key that this certificate was issued for", m.keyName, describe(c), m.chainName)
	}
	return nil
}

// try signs a leaf and verifies it as a proxy will, both as a client and as a
// server. That covers path lengths, name constraints, key usages and the path to a
// root at once. It returns when the path expires.
func (s *issuer) try(m material, trustDomain string, now time.Time) (time.Time, error) {
	id := mesh.Identity{TrustDomain: trustDomain, Account: mesh.Name{Namespace: "fairlead-system", Name: "trial"}}
	l, err := s.sign(leafTemplate(uriNames(id), now, time.Minute))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: signing with it failed: %w", m.keyName, err)
	}
	leaf, err := x509.ParseCertificate(l.der)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: what it signs cannot be read: %w", m.keyName, err)
	}
	opts := x509.VerifyOptions{Roots: s.roots.Pool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range s.above {
		opts.Intermediates.AddCert(c)
	}
	var last time.Time
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		opts.KeyUsages = []x509.ExtKeyUsage{usage}
		chains, err := leaf.Verify(opts)
		if err != nil {
			return time.Time{}, m.explain(err, id)
		}
		last = longest(chains)
	}
	return last, nil
}

// explain turns an error of x509.Verify into one that says what to do.
func (m material) explain(err error, id mesh.Identity) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%s: no root in it verifies what %s signs; put the root of %s into %s, and the intermediates between them into %s",
			m.rootsName, m.chainName, describe(m.chain[0]), m.rootsName, m.chainName)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.CANotAuthorizedForThisName {
		return fmt.Errorf("%s: its name constraints do not permit %s; set the mesh's trust domain to the CA's, or have the CA issued for this one: %w", m.chainName, id, err)
	}
	return fmt.Errorf("%s: what it signs is not accepted by the roots of %s: %w; check path length, key usages and validity of the chain", m.chainName, m.rootsName, err)
}

// longest returns when the chain that lasts longest expires, its leaf left out.
func longest(chains [][]*x509.Certificate) time.Time {
	var last time.Time
	for _, chain := range chains {
		first := chain[1].NotAfter
		for _, c := range chain[2:] {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(last) {
			last = first
		}
	}
	return last
}

func selfIssued(c *x509.Certificate) bool { return string(c.RawSubject) == string(c.RawIssuer) }

func keyID(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:8])
}

func versionKey(key crypto.Signer, signer *x509.Certificate, chainPEM []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, der)
	h.Write([]byte("fairlead leaf version\x00"))
	h.Write(signer.Raw)
	h.Write(chainPEM)
	return h.Sum(nil), nil
}
