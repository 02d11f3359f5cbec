package mesh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/certs/token"
	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// minter makes tokens as the issuer of the mesh does, and others.
type minter struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	id  string // of the key
}

// issuerOf has the key of the mesh's own issuer.
func issuerOf(t *testing.T, m *meshtest.Mesh) minter {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(m.Options.StateDir, "issuer", "issuer.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return minter{t, parsed.(*ecdsa.PrivateKey), ""}
}

// mint signs the claims that a pod's own token has, changed.
func (i minter) mint(p *meshtest.Pod, change func(*token.Claims)) string {
	i.t.Helper()
	own, err := jwt.ParseSigned(p.Token(), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		i.t.Fatal(err)
	}
	var c token.Claims
	if err := own.UnsafeClaimsWithoutVerification(&c); err != nil {
		i.t.Fatal(err)
	}
	change(&c)
	id := own.Headers[0].KeyID
	if i.id != "" {
		id = i.id
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: id}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// dialXDS connects to the control plane's port from the node, with TLS.
func dialXDS(t *testing.T, m *meshtest.Mesh, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	if creds == nil {
		creds = credentials.NewTLS(&tls.Config{RootCAs: m.Controller().Authority().Bundle().Pool(), ServerName: controller.DefaultServerName})
	}
	cc, err := grpc.NewClient("passthrough:///"+m.Options.XDSAddress, grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) { return m.Lab.Node().DialContext(ctx, "tcp", a) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// ask opens a stream with that authorization header and asks for a certificate.
func ask(ctx context.Context, cc *grpc.ClientConn, authorization string) (discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, *discovery.DeltaDiscoveryResponse, error) {
	if authorization != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
	}
	s, err := discovery.NewAggregatedDiscoveryServiceClient(cc).DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, nil, err
	}
	err = s.Send(&discovery.DeltaDiscoveryRequest{
		Node:                   &corev3.Node{Id: "shop/admin"}, // a label, and no truth
		TypeUrl:                "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
		ResourceNamesSubscribe: []string{"default"},
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	r, err := s.Recv()
	return s, r, err
}

// Who a sidecar is, its token says, and nothing else: the control plane serves
// nobody without a good one, says what is wrong with a bad one, and never repeats
// it.
func TestOnlyGoodTokensAreServed(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("catalog", catalogService)
	web := m.Pod(podSpec("shop", "web"))
	admin := m.PodWithoutSidecar(podSpec("shop", "admin"))
	doomed := m.PodWithoutSidecar(podSpec("shop", "doomed"))
	dead := doomed.Token()
	doomed.Forget()
	m.Known(doomed, func(p *mesh.Pod) bool { return p == nil })

	own := issuerOf(t, m)
	unchanged := func(*token.Claims) {}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	minutes := func(n int) *jwt.NumericDate {
		return jwt.NewNumericDate(time.Now().Add(time.Duration(n) * time.Minute))
	}
	parts := strings.Split(admin.Token(), ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	bad := []struct {
		name, token, says string
		code              codes.Code
	}{
		{"another issuer's key", minter{t, stranger, "theirs"}.mint(admin, unchanged), "unknown_key", codes.Unauthenticated},
		{"another key under the issuer's name", minter{t, stranger, ""}.mint(admin, unchanged), "bad_signature", codes.Unauthenticated},
		{"changed by one letter", parts[0] + "." + parts[1] + "." + flip(parts[2]), "bad_signature", codes.Unauthenticated},
		{"not signed", none, "bad_algorithm", codes.Unauthenticated},
		{"expired", own.mint(admin, func(c *token.Claims) { c.IssuedAt, c.NotBefore, c.Expiry = minutes(-20), minutes(-20), minutes(-10) }), "expired", codes.Unauthenticated},
		{"not valid yet", own.mint(admin, func(c *token.Claims) { c.IssuedAt, c.NotBefore, c.Expiry = minutes(10), minutes(10), minutes(20) }), "not_yet_valid", codes.Unauthenticated},
		{"for the API server", own.mint(admin, func(c *token.Claims) { c.Audience = jwt.Audience{"https://kubernetes.default.svc"} }), "wrong_audience", codes.Unauthenticated},
		{"of another cluster", own.mint(admin, func(c *token.Claims) { c.Issuer = "https://elsewhere" }), "wrong_issuer", codes.Unauthenticated},
		{"not bound to a pod", own.mint(admin, func(c *token.Claims) { c.Kubernetes.Pod = nil }), "not_bound", codes.Unauthenticated},
		{"of a deleted pod", dead, "dead_pod", codes.Unauthenticated},
		{"of a pod that has another account", own.mint(admin, func(c *token.Claims) {
			c.Kubernetes.ServiceAccount.Name, c.Subject = "root", token.Subject("shop", "root")
		}), "the pod of that UID is", codes.PermissionDenied},
		{"no token at all", "this is no token", "malformed", codes.Unauthenticated},
		{"empty", "", "no bearer token", codes.Unauthenticated},
		{"much too long", strings.Repeat("a", 20_000), "malformed", codes.Unauthenticated},
	}
	cc := dialXDS(t, m, nil)
	refused := m.Controller().Server().Stats().Refused
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, r, err := ask(ctx, cc, "Bearer "+c.token)
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.says) {
				t.Errorf("answer %v, error %v; want %s with %q", r, err, c.code, c.says)
			}
			if len(c.token) > 20 && strings.Contains(fmt.Sprint(err), c.token) {
				t.Errorf("the answer repeats the token: %v", err)
			}
		})
	}
	for _, authorization := range []string{"", "Basic " + admin.Token(), admin.Token()} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, r, err := ask(ctx, cc, authorization); status.Code(err) != codes.Unauthenticated {
			t.Errorf("authorization %.20q: answer %v, error %v", authorization, r, err)
		}
		cancel()
	}
	if n := m.Controller().Server().Stats().Refused - refused; n != int64(len(bad)+3) {
		t.Errorf("%d streams counted as refused, want %d", n, len(bad)+3)
	}
	for _, c := range bad {
		if c.says != "no bearer token" && !strings.Contains(m.Log(), c.says) {
			t.Errorf("%s: the log does not say %q", c.name, c.says)
		}
	}

	// What the node calls itself is a label only.
	t.Run("identity", func(t *testing.T) {
		s, r, err := ask(t.Context(), cc, "Bearer "+web.Token())
		if err != nil {
			t.Fatal(err)
		}
		if id := identityIn(t, r); id != web.ID() {
			t.Errorf("a certificate for %s, want %s", id, web.ID())
		}
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
	})

	t.Run("real Envoys", func(t *testing.T) {
		// One with the token of another pod is that pod, to everybody.
		impostor := admin.StartEnvoyWith(admin.VolumeWith("impostor", web.Token()))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := impostor.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		c, err := leafBehind(m, admin)
		if err != nil || len(c.URIs) != 1 || c.URIs[0].String() != web.ID() {
			t.Errorf("it shows %v, %v; want %s", c, err, web.ID())
		}
		for _, p := range m.Controller().Server().Proxies() {
			if p.Node == "shop/admin" && (p.Pod != "shop/web" || p.Identity != web.ID()) {
				t.Errorf("%+v", p)
			}
		}
		if err := impostor.Kill(); err != nil {
			t.Fatal(err)
		}
		// One with a bad token gets nothing, and says why in its log.
		before := m.Controller().Server().Stats().Refused
		stranger := admin.StartEnvoyWith(admin.VolumeWith("stranger", minter{t, stranger, "theirs"}.mint(admin, unchanged)))
		m.Eventually("two refusals", func() error {
			if n := m.Controller().Server().Stats().Refused; n < before+2 {
				return fmt.Errorf("%d", n-before)
			}
			return nil
		})
		if _, err := stranger.Admin(t.Context(), "/ready"); err == nil {
			t.Error("it is ready")
		}
		if log := stranger.Logs(); !strings.Contains(log, "unknown_key") {
			t.Errorf("its log does not say why:\n%s", log)
		}
		// The control plane forgets a pod: its stream ends at once, and it cannot come back.
		start := time.Now()
		web.Forget()
		m.Eventually("the stream ends", func() error {
			for _, p := range m.Controller().Server().Proxies() {
				if p.Pod == web.Key() {
					return errors.New("still there")
				}
			}
			return nil
		})
		t.Logf("a deleted pod's stream ended after %s", time.Since(start))
		m.Eventually("it is refused", func() error {
			if log := web.Envoy.Logs(); !strings.Contains(log, "dead_pod") {
				return errors.New("not yet")
			}
			return nil
		})
	})

	for _, c := range bad {
		for _, secret := range strings.Split(c.token, ".") {
			if len(secret) > 20 && strings.Contains(m.Log(), secret) && !strings.HasPrefix(secret, "aaaa") {
				t.Errorf("%s: the log holds a part of the token", c.name)
			}
		}
	}
}

func flip(s string) string {
	if s[3] == 'A' {
		return s[:3] + "B" + s[4:]
	}
	return s[:3] + "A" + s[4:]
}

// identityIn reads the certificate of a response.
func identityIn(t *testing.T, r *discovery.DeltaDiscoveryResponse) string {
	t.Helper()
	for _, resource := range r.Resources {
		// A PEM block within a protobuf is still one.
		_, rest, found := strings.Cut(string(resource.Resource.Value), "-----BEGIN CERTIFICATE-----")
		if !found {
			continue
		}
		block, _ := pem.Decode([]byte("-----BEGIN CERTIFICATE-----" + rest))
		if block == nil {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c.URIs[0].String()
	}
	t.Fatalf("no certificate in %d resources", len(r.Resources))
	return ""
}

// leafBehind is the certificate that is shown at the inbound port itself: the pod
// need not be redirected.
func leafBehind(m *meshtest.Mesh, p *meshtest.Pod) (*x509.Certificate, error) {
	p.Redirect()
	return leafOf(m, p)
}

// The control plane's port speaks TLS and nothing else. Without a token only the
// health service answers, for whoever checks whether it is up.
func TestXDSPortWithoutToken(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	for name, hello := range map[string]string{
		"HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"HTTP/1": "GET / HTTP/1.1\r\nHost: fairlead\r\n\r\n",
	} {
		conn, err := m.Lab.Node().DialContext(ctx, "tcp", m.Options.XDSAddress)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // reading says so
		if _, err := io.WriteString(conn, hello); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s in plaintext: the connection is kept", name)
		}
		if len(answer) > 0 && answer[0] != 0x15 { // a TLS alert
			t.Errorf("%s in plaintext is answered: %q", name, answer)
		}
	}
	if _, _, err := ask(ctx, dialXDS(t, m, insecure.NewCredentials()), ""); status.Code(err) != codes.Unavailable {
		t.Errorf("gRPC in plaintext: %v", err)
	}

	roots := m.Controller().Authority().Bundle().Pool()
	for name, c := range map[string]*tls.Config{
		"TLS 1.2":           {RootCAs: roots, ServerName: controller.DefaultServerName, MaxVersion: tls.VersionTLS12},
		"another's name":    {RootCAs: roots, ServerName: "kubernetes.default.svc"},
		"roots of somebody": {RootCAs: x509.NewCertPool(), ServerName: controller.DefaultServerName},
	} {
		if _, _, err := ask(ctx, dialXDS(t, m, credentials.NewTLS(c)), ""); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}

	cc := dialXDS(t, m, nil)
	h, err := grpc_health_v1.NewHealthClient(cc).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || h.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v %v", h, err)
	}
	if _, _, err := ask(ctx, cc, ""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("ADS: %v", err)
	}
	sotw, err := discovery.NewAggregatedDiscoveryServiceClient(cc).StreamAggregatedResources(ctx)
	if err == nil {
		_, err = sotw.Recv()
	}
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "delta") {
		t.Errorf("state-of-the-world xDS: %v", err)
	}
	if n := len(m.Controller().Server().Proxies()); n != 0 {
		t.Errorf("%d streams were admitted", n)
	}
}
