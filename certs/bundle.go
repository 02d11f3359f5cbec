package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
)

// maxRoots bounds a trust bundle: each of them is sent to every proxy.
const maxRoots = 64

// Bundle is the set of roots that the mesh trusts; while a root is being replaced
// it holds the old and the new one. It is a set: order and repetition in the file
// that it came from mean nothing (the kubelet shuffles what it projects), and two
// bundles with the same roots have the same PEM. Immutable; the zero Bundle trusts
// nobody.
type Bundle struct {
	roots []*x509.Certificate // sorted by their bytes, each one once
	pem   []byte
	id    string
}

// NewBundle makes the bundle of these roots. The certificates must not be
// modified afterwards.
func NewBundle(roots ...*x509.Certificate) Bundle {
	roots = slices.Clone(roots)
	slices.SortFunc(roots, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	roots = slices.CompactFunc(roots, (*x509.Certificate).Equal)
	b := Bundle{roots: roots}
	for _, r := range roots {
		b.pem = appendPEM(b.pem, certificateBlock, r.Raw)
	}
	sum := sha256.Sum256(b.pem)
	b.id = hex.EncodeToString(sum[:8])
	return b
}

// ParseBundle reads roots in PEM; name says in errors where they are from. Each
// must be the certificate of a CA. Expired ones may be among them.
func ParseBundle(name string, pemBytes []byte) (Bundle, error) {
	certificates, err := parseCertificates(name, pemBytes)
	if err != nil {
		return Bundle{}, err
	}
	if len(certificates) > maxRoots {
		return Bundle{}, fmt.Errorf("%s: %d roots; at most %d can be sent to every proxy, leave those in that the mesh needs", name, len(certificates), maxRoots)
	}
	for i, c := range certificates {
		if !c.BasicConstraintsValid || !c.IsCA {
			return Bundle{}, fmt.Errorf("%s: certificate %d (%s) is not a CA's; only roots belong here, take it out", name, i+1, describe(c))
		}
	}
	return NewBundle(certificates...), nil
}

// PEM returns the roots, each one once, in an order that depends on nothing but
// them. The caller must not modify it.
func (b Bundle) PEM() []byte { return b.pem }

// ID is a short digest of the set: equal for equal bundles.
func (b Bundle) ID() string { return b.id }

// Len is the number of roots.
func (b Bundle) Len() int { return len(b.roots) }

// Certificates returns the roots, which the caller must not modify.
func (b Bundle) Certificates() []*x509.Certificate { return slices.Clone(b.roots) }

// Equal reports that both hold the same roots.
func (b Bundle) Equal(o Bundle) bool { return bytes.Equal(b.pem, o.pem) }

// Contains reports that c is one of the roots.
func (b Bundle) Contains(c *x509.Certificate) bool {
	return slices.ContainsFunc(b.roots, c.Equal)
}

// Pool returns the roots for crypto/tls and x509.Verify.
func (b Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, r := range b.roots {
		pool.AddCert(r)
	}
	return pool
}

// String says how many roots there are and which set they are.
func (b Bundle) String() string { return fmt.Sprintf("%d roots, id %s", len(b.roots), b.id) }

// parseCertificates reads every certificate of a PEM file and passes over its
// private keys, so that a file with both may be named for both.
func parseCertificates(name string, pemBytes []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for block, rest := pem.Decode(pemBytes); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateBlock {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d cannot be read: %w; write it anew from its source", name, len(out)+1, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no certificate in it; it must hold PEM blocks of the type CERTIFICATE", name)
	}
	return out, nil
}

// describe names a certificate for a person.
func describe(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return s
	}
	return "serial " + c.SerialNumber.Text(16)
}
