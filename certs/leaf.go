package certs

import (
	"log/slog"
	"time"
)

// Leaf is a certificate and its key, made for one proxy.
type Leaf struct {
	// CertificateChainPEM is the leaf and then the intermediates, without the root.
	CertificateChainPEM []byte
	// PrivateKeyPEM is the leaf's key, PKCS #8.
	PrivateKeyPEM       Sensitive
	NotBefore, NotAfter time.Time
	// RenewAt is when to issue the next one: past half of the life, with jitter.
	RenewAt time.Time
	// IssuerKeyID names the key that signed: the first 8 bytes, in hexadecimal, of
	// the SHA-256 of its SubjectPublicKeyInfo.
	IssuerKeyID string

	version string
}

// Version is a short string that says until when, by which issuer and for whom
// the leaf is; Authority.StillGood reads it. It holds nothing secret.
func (l Leaf) Version() string { return l.version }

// LogValue says what the leaf is, without key and certificate (slog.LogValuer).
func (l Leaf) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Time("notAfter", l.NotAfter),
		slog.Time("renewAt", l.RenewAt),
		slog.String("issuerKeyID", l.IssuerKeyID),
	)
}
