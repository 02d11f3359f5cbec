package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const fairlead = "fairlead.fairlead-system.svc"

func proxyTLS(a *Authority, name string) *tls.Config {
	return &tls.Config{RootCAs: a.Bundle().Pool(), ServerName: name, NextProtos: []string{"h2"}}
}

func TestServerTLS(t *testing.T) {
	root := newCA(t, "root", nil, nil)
	middle := newCA(t, "middle", root, nil)
	a, err := Load(secret(t, t.TempDir(), middle.pem(), middle.keyPEM(t), root.pem()), quiet())
	if err != nil {
		t.Fatal(err)
	}
	server := a.ServerTLS([]string{fairlead, "127.0.0.1"})
	for _, c := range []struct {
		reason string
		client *tls.Config
		says   string // "" if it works
	}{
		{"by name", proxyTLS(a, fairlead), ""},
		{"by address", proxyTLS(a, "127.0.0.1"), ""},
		{"another name", proxyTLS(a, "other.svc"), "other.svc"},
		{"another root", proxyTLS(selfSigned(t, quiet()), fairlead), "unknown authority"},
		{"TLS 1.2", &tls.Config{RootCAs: a.Bundle().Pool(), ServerName: fairlead, NextProtos: []string{"h2"}, MaxVersion: tls.VersionTLS12}, "protocol version"},
		{"another protocol", &tls.Config{RootCAs: a.Bundle().Pool(), ServerName: fairlead, NextProtos: []string{"mesh"}}, "application protocol"},
	} {
		_, _, err := handshake(c.client, server)
		if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.reason, err)
		}
	}
	shown, err := server.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(shown.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 0 || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("the control plane's certificate could pass for a workload's: %v %v", leaf.URIs, leaf.ExtKeyUsage)
	}
}

// A port that stays open for long shows a valid certificate at every moment, and
// makes no more of them than it must.
func TestServerCertificateIsRotatedLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := quiet()
		o.TTL = 10 * time.Second
		a := selfSigned(t, o)
		server := a.ServerTLS([]string{fairlead})
		shown := map[string]bool{}
		for range 100 {
			if _, _, err := handshake(proxyTLS(a, fairlead), server); err != nil {
				t.Fatal(err)
			}
			c, err := server.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			shown[string(c.Certificate[0])] = true
			time.Sleep(time.Second)
		}
		if len(shown) != 20 { // every 5 s
			t.Errorf("%d certificates in 100 s", len(shown))
		}
		time.Sleep(time.Hour) // nobody came meanwhile
		if _, _, err := handshake(proxyTLS(a, fairlead), server); err != nil {
			t.Error(err)
		}
	})
}

// When the CA has expired the certificate serves out its life.
func TestServerCertificateOutlivesTroubleToRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newCA(t, "root", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
		a, err := Load(secret(t, t.TempDir(), root.pem(), root.keyPEM(t), root.pem()), quiet())
		if err != nil {
			t.Fatal(err)
		}
		server := a.ServerTLS([]string{fairlead})
		if _, err := server.GetCertificate(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := server.GetCertificate(nil); err == nil {
			t.Error("an expired certificate is shown")
		}
	})
}

func TestServerCertificateFollowsTheSigner(t *testing.T) {
	one, two := newCA(t, "one", nil, nil), newCA(t, "two", nil, nil)
	f := secret(t, t.TempDir(), one.pem(), one.keyPEM(t), join(one.pem(), two.pem()))
	a, err := Load(f, quiet())
	if err != nil {
		t.Fatal(err)
	}
	server := a.ServerTLS([]string{fairlead})
	onlyTwo := &tls.Config{RootCAs: NewBundle(two.certificate).Pool(), ServerName: fairlead, NextProtos: []string{"h2"}}
	if _, _, err := handshake(onlyTwo, server); err == nil {
		t.Fatal("signed by two already")
	}
	write(t, f.Chain, two.pem())
	write(t, f.Key, two.keyPEM(t))
	a.Reload()
	if _, _, err := handshake(onlyTwo, server); err == nil {
		t.Error("signed by two before everybody trusts it")
	}
	a.Promote(a.Bundle())
	if _, _, err := handshake(onlyTwo, server); err != nil {
		t.Error(err)
	}
}

func TestServerCertificateFromManyAtOnce(t *testing.T) {
	a := selfSigned(t, quiet())
	server := a.ServerTLS([]string{fairlead})
	var mu sync.Mutex
	shown := map[*tls.Certificate]bool{}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			c, err := server.GetCertificate(nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			shown[c] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(shown) != 1 {
		t.Errorf("%d certificates for one moment", len(shown))
	}
}
