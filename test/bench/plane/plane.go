// Package plane is Fairlead's control plane without its files: the store is
// filled by the benchmark, all the rest is put together as the controller does it.
package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/certs/token"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

// TokenLife is that of the tokens: longer than any run.
const TokenLife = 12 * time.Hour

// Plane is a control plane. Its exported fields are set once.
type Plane struct {
	Store     *mesh.Store
	Authority *certs.Authority
	Issuer    *localissuer.Issuer
	Server    *ads.Server

	generator   *xds.Generator
	tokens      token.Authenticator
	unsubscribe func()
	grpc        *grpc.Server
	stop        context.CancelFunc
	running     *errgroup.Group
}

// New makes a control plane whose store is empty, and runs it until Stop. names
// are the DNS names and addresses in its certificate.
func New(authority *certs.Authority, names ...string) (*Plane, error) {
	issuer, err := localissuer.New()
	if err != nil {
		return nil, err
	}
	jwt, err := token.NewJWT(token.JWTConfig{Issuers: []string{localissuer.Name}, Keys: issuer})
	if err != nil {
		return nil, err
	}
	p := &Plane{Store: mesh.NewStore(mesh.Settings{}), Authority: authority, Issuer: issuer}
	p.tokens = token.NewLivePods(jwt, func(uid string) bool { return p.Store.PodByUID(uid) != nil }, nil)
	p.generator = xds.New(xds.Config{Authority: authority, TrustDomain: authority.TrustDomain()})
	p.Server, err = ads.New(ads.Config{
		Source: p.generator, View: p.Store, Authenticate: p.authenticate,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, err
	}
	p.unsubscribe = p.Store.Subscribe(p.Server.Changed)
	p.grpc = grpc.NewServer(Options(authority, names...)...)
	p.Server.Register(p.grpc)

	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.running, ctx = errgroup.WithContext(ctx)
	p.running.Go(func() error { return p.Server.Run(ctx) })
	return p, nil
}

// Options are those of the control plane's gRPC server.
func Options(authority *certs.Authority, names ...string) []grpc.ServerOption {
	return ads.ServerOptions(credentials.NewTLS(authority.ServerTLS(names)))
}

// Serve accepts proxies until Stop.
func (p *Plane) Serve(l net.Listener) error { return p.grpc.Serve(l) }

// Stop ends everything that New began.
func (p *Plane) Stop() error {
	p.unsubscribe()
	p.stop()
	err := p.running.Wait()
	p.grpc.Stop()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Token makes a token as the kubelet would project it into the pod.
func (p *Plane) Token(pod *mesh.Pod) (string, error) {
	t, _, err := p.Issuer.Mint(localissuer.Pod{Name: pod.Name, UID: pod.UID, ServiceAccount: pod.ServiceAccount}, TokenLife)
	if err != nil {
		return "", fmt.Errorf("token of %s: %w", pod.Name, err)
	}
	return string(t.Reveal()), nil
}

func (p *Plane) authenticate(ctx context.Context, bearer string) (*ads.Client, error) {
	caller, err := p.tokens.Authenticate(ctx, bearer)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	pod := p.Store.PodByUID(caller.PodUID)
	if pod == nil {
		return nil, status.Errorf(codes.PermissionDenied, "there is no pod with UID %s", caller.PodUID)
	}
	return p.generator.Client(pod), nil
}
