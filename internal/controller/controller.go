package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/certs/token"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/manifests"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

// Controller is a control plane that is ready to run.
type Controller struct {
	options   Options
	store     *mesh.Store
	authority *certs.Authority
	generator *xds.Generator
	server    *ads.Server
	volumes   *volumes
	reports   *reports
	proxies   *proxies
	serving   atomic.Bool
}

// Run runs the control plane until ctx ends.
func Run(ctx context.Context, o Options) error {
	c, err := New(o)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// New prepares a control plane: it reads its keys, or makes them, but no objects yet.
func New(o Options) (*Controller, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	// The sidecars' user must pass through to its own folder; the secrets in here
	// have modes of their own.
	if err := os.MkdirAll(o.StateDir, 0o711); err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	authority, err := loadAuthority(o)
	if err != nil {
		return nil, err
	}
	issuer, err := localissuer.LoadOrCreate(filepath.Join(o.StateDir, "issuer"))
	if err != nil {
		return nil, err
	}
	jwt, err := token.NewJWT(token.JWTConfig{Issuers: []string{localissuer.Name}, Keys: issuer})
	if err != nil {
		return nil, err
	}
	c := &Controller{options: o, store: mesh.NewStore(o.settings()), authority: authority, reports: newReports(o.Log)}
	if c.volumes, err = newVolumes(o, c.store, issuer, authority); err != nil {
		return nil, err
	}
	c.generator = xds.New(xds.Config{Authority: authority, TrustDomain: o.TrustDomain})
	live := token.NewLivePods(jwt, func(uid string) bool { return c.store.PodByUID(uid) != nil }, nil)
	a := &authenticator{tokens: live, store: c.store, client: c.generator.Client}
	c.server, err = ads.New(ads.Config{Source: c.generator, View: c.store, Authenticate: a.authenticate, Refresh: a.refresh, Log: o.Log})
	if err != nil {
		return nil, err
	}
	c.proxies = newProxies(c.server.RefreshPods)
	return c, nil
}

// Server is the xDS server: what proxies hold and have ACKed.
func (c *Controller) Server() *ads.Server { return c.server }

// Store is the model. Only the controller writes to it.
func (c *Controller) Store() *mesh.Store { return c.store }

// Authority is the CA.
func (c *Controller) Authority() *certs.Authority { return c.authority }

// VolumePath is the folder of a local sidecar.
func (c *Controller) VolumePath(pod mesh.Name) string { return c.volumes.projector.Path(pod) }

// loadAuthority loads the user's CA, or the mesh's own.
func loadAuthority(o Options) (*certs.Authority, error) {
	co := certs.Options{TrustDomain: o.TrustDomain, TTL: o.LeafTTL, Logger: o.Log}
	if o.CA != "" {
		return certs.Load(certs.SecretFiles(o.CA), co)
	}
	return certs.LoadOrCreate(filepath.Join(o.StateDir, "ca"), co)
}

// Run serves until ctx ends, then lets the proxies go over the drain window.
func (c *Controller) Run(ctx context.Context) error {
	xdsListener, err := listen(c.options.XDSListener, c.options.XDSAddress)
	if err != nil {
		return fmt.Errorf("xDS port: %w", err)
	}
	defer xdsListener.Close()
	debugListener, err := listen(c.options.DebugListener, c.options.DebugAddress)
	if err != nil {
		return fmt.Errorf("debug listener: %w", err)
	}
	if debugListener != nil {
		defer debugListener.Close()
	}

	// What serves the streams outlives ctx by the drain.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, gctx := errgroup.WithContext(serving)
	c.subscribe(gctx, group)

	if debugListener != nil {
		group.Go(func() error { return c.serveDebug(gctx, debugListener) })
	}
	// Nothing is served before the objects are there: a proxy that connected to an
	// empty mesh would be told that nothing exists.
	ready := make(chan struct{})
	group.Go(func() error { return c.watchManifests(gctx, ready) })
	select {
	case <-ready:
	case <-gctx.Done():
		return group.Wait()
	case <-ctx.Done():
		stop()
		return ignoreCanceled(group.Wait())
	}
	if err := c.volumes.sync(); err != nil {
		c.options.Log.Error("some local sidecars have no token", "error", err)
	}
	group.Go(func() error { return c.volumes.run(gctx) })
	group.Go(func() error { return c.volumes.projector.Run(gctx) })
	group.Go(func() error { return c.server.Run(gctx) })
	g := grpc.NewServer(ads.ServerOptions(credentials.NewTLS(c.authority.ServerTLS(c.options.ServerNames)))...)
	c.server.Register(g)
	group.Go(func() error { return g.Serve(xdsListener) })
	group.Go(func() error { return c.followAuthority(gctx) })
	c.serving.Store(true)
	c.options.Log.Info("serving", "xds", xdsListener.Addr().String(), "debug", c.options.DebugAddress,
		"services", len(c.store.Services()), "pods", len(c.store.Pods()))

	select {
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(serving, c.options.DrainWindow+5*time.Second)
		defer cancel()
		if err := c.server.Drain(drain, c.options.DrainWindow); err != nil {
			c.options.Log.Warn("not all proxies went in time", "error", err)
		}
	case <-gctx.Done():
	}
	stop()
	g.Stop()
	return ignoreCanceled(group.Wait())
}

// subscribe leads changes of the model to who needs them, and reads those of the CA.
func (c *Controller) subscribe(ctx context.Context, group *errgroup.Group) {
	cancel := c.store.Subscribe(func(keys []mesh.Key) {
		c.volumes.changed(keys)
		c.server.Changed(keys)
		c.proxies.changed(keys)
	})
	context.AfterFunc(ctx, cancel)
	group.Go(func() error { return c.proxies.run(ctx) })
	group.Go(func() error { return c.authority.Run(ctx) })
}

// watchManifests fills the store, and closes ready when it is first filled from
// manifests without a problem: of a file that is broken from the start there is no
// last good state to keep.
func (c *Controller) watchManifests(ctx context.Context, ready chan<- struct{}) error {
	first := true
	mo := manifests.Options{ServiceRanges: c.options.ServiceRanges, PodRanges: c.options.PodRanges}
	return manifests.Watch(ctx, c.options.Manifests, mo, c.store, func(r manifests.Report) {
		c.reports.add(r)
		switch {
		case !first:
		case len(r.Problems) > 0 && !c.options.ServeIncomplete:
			c.options.Log.Error("not serving before the manifests can be read whole: what is missing from them would be taken from the "+
				"sidecars, which go on with what they have; mend the problems, or start with --serve-incomplete", "problems", len(r.Problems))
		default:
			first = false
			close(ready)
		}
	})
}

// ignoreCanceled drops the error of an end that was asked for.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// listen opens an address unless a listener is given; "" is none.
func listen(given net.Listener, address string) (net.Listener, error) {
	switch {
	case given != nil:
		return given, nil
	case address == "":
		return nil, nil
	}
	path, ok := cutUnix(address)
	if !ok {
		return net.Listen("tcp", address)
	}
	return listenUnix(path)
}
