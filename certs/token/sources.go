package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// FileKeys is a KeySource of a JWKS in a file. It is read again when it is older
// than a few seconds and a key is asked for: a file that is replaced is noticed
// then. Logger nil is slog.Default.
func FileKeys(path string, log *slog.Logger) *FetchedKeys {
	return newFetched(path, time.Second, 10*time.Second, log, func(context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("keys of the token issuer: %w", err)
		}
		defer f.Close()
		return readBounded(f)
	})
}

// URLConfig says where an issuer publishes its keys.
type URLConfig struct {
	// URL of the JWKS, https: ".../openid/v1/jwks" of an API server.
	URL string
	// RootsFile is a PEM file with the roots that verify the server; the system's
	// roots if "".
	RootsFile string
	// TokenFile is a file with the bearer token to show, if the server asks for one.
	TokenFile string
	// Logger hears of fetches that failed; slog.Default if nil.
	Logger *slog.Logger
}

// URLKeys is a KeySource of a JWKS behind a URL, fetched at most every ten seconds
// and at least, while in use, every five minutes. Files are read anew at each fetch.
func URLKeys(c URLConfig) (*FetchedKeys, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("keys of the token issuer: %q is not an https URL; keys that come unprotected prove nothing", c.URL)
	}
	return newFetched(c.URL, 10*time.Second, 5*time.Minute, c.Logger, c.get), nil
}

func newFetched(name string, between, age time.Duration, log *slog.Logger, fetch func(context.Context) ([]byte, error)) *FetchedKeys {
	if log == nil {
		log = slog.Default()
	}
	return &FetchedKeys{name: name, fetch: fetch, between: between, age: age, log: log}
}

// get fetches the JWKS. A fetch is rare: its connection is not kept.
func (c URLConfig) get(ctx context.Context) ([]byte, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("keys of the token issuer: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	if c.TokenFile != "" {
		t, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token for %s: %w", c.URL, err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(t)))
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("keys of the token issuer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s; it must be readable by the control plane (ClusterRole system:service-account-issuer-discovery)", c.URL, response.Status)
	}
	return readBounded(response.Body)
}

func (c URLConfig) client() (*http.Client, error) {
	var roots *x509.CertPool
	if c.RootsFile != "" {
		pem, err := os.ReadFile(c.RootsFile)
		if err != nil {
			return nil, fmt.Errorf("roots for %s: %w", c.URL, err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("roots for %s: %s holds no certificate", c.URL, c.RootsFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		},
		// The token is for this server and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it redirects; give the address that answers itself")
		},
	}, nil
}

// readBounded reads one byte more than is allowed, so that too much is noticed.
func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxJWKS+1))
	if err != nil {
		return nil, fmt.Errorf("keys of the token issuer: %w", err)
	}
	return b, nil
}
