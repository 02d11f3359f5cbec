package certs

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ServerTLS is the configuration of the control plane's own port: TLS 1.3, ALPN
// h2, and a certificate of this authority for these DNS names (or IP addresses),
// made anew in time while connections come in. Clients are not asked for
// certificates: they show a token.
//
// There are no session tickets: a resumed session would outlive what the client
// verified, and a full handshake costs one P-256 signature.
func (a *Authority) ServerTLS(dnsNames []string) *tls.Config {
	s := &server{authority: a}
	for _, n := range dnsNames {
		if ip := net.ParseIP(n); ip != nil {
			s.names.ips = append(s.names.ips, ip)
		} else {
			s.names.dns = append(s.names.dns, n)
		}
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.certificate(time.Now())
		},
	}
}

// server holds the certificate that a port shows.
type server struct {
	// Set once.
	authority *Authority
	names     names

	// Atomic.
	current atomic.Pointer[serverCertificate]

	renewing sync.Mutex // one handshake makes the next one; the others go on
}

type serverCertificate struct {
	tls.Certificate
	issuer   *issuer
	renewAt  time.Time
	notAfter time.Time
}

// certificate returns the present certificate, after renewing it if that is due. A
// failure to renew is not one of the handshake while the present one is valid.
func (s *server) certificate(now time.Time) (*tls.Certificate, error) {
	for {
		c := s.current.Load()
		if c != nil && c.issuer == s.authority.state.Load().signer && now.Before(c.renewAt) {
			return &c.Certificate, nil
		}
		valid := c != nil && now.Before(c.notAfter)
		if !valid {
			s.renewing.Lock()
		} else if !s.renewing.TryLock() {
			return &c.Certificate, nil
		}
		if s.current.Load() != c { // somebody else has renewed it meanwhile
			s.renewing.Unlock()
			continue
		}
		next, err := s.renew(now)
		if err == nil {
			s.current.Store(next)
		}
		s.renewing.Unlock()
		switch {
		case err == nil:
			return &next.Certificate, nil
		case valid:
			return &c.Certificate, nil
		}
		return nil, fmt.Errorf("certificate of the control plane: %w", err)
	}
}

func (s *server) renew(now time.Time) (*serverCertificate, error) {
	from := s.authority.state.Load().signer
	c, err := from.sign(leafTemplate(s.names, now, s.authority.ttl))
	if err != nil {
		return nil, err
	}
	chain := [][]byte{c.der}
	for _, above := range from.above {
		chain = append(chain, above.Raw)
	}
	return &serverCertificate{
		Certificate: tls.Certificate{Certificate: chain, PrivateKey: c.key},
		issuer:      from,
		renewAt:     RenewAt(now, c.notAfter, s.authority.jitter()),
		notAfter:    c.notAfter,
	}, nil
}
