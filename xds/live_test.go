package xds_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"sigs.k8s.io/yaml"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/manifests"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

// live is a mesh with real Envoys: network namespaces as pods, the xDS server in
// this process.
type live struct {
	t         *testing.T
	lab       *lab.Lab
	store     *mesh.Store
	server    *ads.Server
	authority *certs.Authority
	generator *xds.Generator

	mu   sync.Mutex
	pods []*lab.Pod
	last manifests.Result
	text string
}

const controlPlaneName = "fairlead.fairlead-system.svc.cluster.local"

func newLive(t *testing.T, settings mesh.Settings) *live {
	t.Helper()
	lab.RequireRoot(t)
	l, err := lab.New(t.Context(), lab.Options{Name: "xds", IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	authority, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := &live{t: t, lab: l, store: mesh.NewStore(settings), authority: authority}
	m.generator = xds.New(xds.Config{Authority: authority})
	m.server, err = ads.New(ads.Config{Source: m.generator, View: m.store, Authenticate: m.authenticate})
	if err != nil {
		t.Fatal(err)
	}
	m.store.Subscribe(m.server.Changed)
	m.serve()
	return m
}

// authenticate takes a pod's UID for its token.
func (m *live) authenticate(_ context.Context, bearer string) (*ads.Client, error) {
	pod := m.store.PodByUID(strings.TrimSpace(bearer))
	if pod == nil {
		return nil, fmt.Errorf("no pod with UID %q", bearer)
	}
	return m.generator.Client(pod), nil
}

func (m *live) serve() {
	t := m.t
	listener, err := m.lab.Node().Listen("tcp", ":15012")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(ads.ServerOptions(credentials.NewTLS(m.authority.ServerTLS([]string{controlPlaneName})))...)
	m.server.Register(g)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); m.server.Run(ctx) }()
	go g.Serve(listener)
	t.Cleanup(func() { g.Stop(); cancel(); <-done })
}

// pod makes a pod; the sidecars come with start.
func (m *live) pod(s lab.PodSpec) *lab.Pod {
	m.t.Helper()
	p, err := m.lab.AddPod(s)
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pods = append(m.pods, p)
	return p
}

// apply makes the mesh be all pods and these manifests.
func (m *live) apply(text string) {
	t := m.t
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = text
	var all strings.Builder
	all.WriteString(text)
	for _, p := range m.pods {
		y, err := yaml.Marshal(p.Manifest())
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("\n---\n" + string(y))
	}
	r, err := manifests.Read(strings.NewReader(all.String()), "mesh.yaml", manifests.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Fatal(p)
	}
	batch := r.Batch
	batch.Deleted = objects(m.last.Batch)
	m.last = r
	m.store.Apply(batch)
}

// objects names what a batch holds, to delete it.
func objects(b mesh.Batch) []mesh.Object {
	var list []mesh.Object
	for _, s := range b.Services {
		list = append(list, mesh.Object{Kind: mesh.ObjectService, Name: s.Name})
	}
	for _, s := range b.Slices {
		list = append(list, mesh.Object{Kind: mesh.ObjectSlice, Name: s.Name})
	}
	for _, p := range b.Pods {
		list = append(list, mesh.Object{Kind: mesh.ObjectPod, Name: p.Name})
	}
	for _, r := range b.Routes {
		kind := mesh.ObjectHTTPRoute
		if r.GRPC != nil {
			kind = mesh.ObjectGRPCRoute
		}
		list = append(list, mesh.Object{Kind: kind, Name: mesh.Name{Namespace: r.Meta().Namespace, Name: r.Meta().Name}})
	}
	return list
}

// start starts the sidecars of the meshed pods.
func (m *live) start() map[string]*lab.Envoy {
	t := m.t
	t.Helper()
	envoys := map[string]*lab.Envoy{}
	for _, p := range m.pods {
		if !p.Spec.Meshed {
			continue
		}
		e, err := p.StartEnvoy(lab.EnvoyOptions{Bootstrap: m.bootstrap(p), ComponentLogLevel: "misc:error"})
		if err != nil {
			t.Fatal(err)
		}
		envoys[p.Spec.Name] = e
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s:\n%s", p.Key(), tail(e.Logs(), 4000))
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, p := range m.pods {
		if e := envoys[p.Spec.Name]; e != nil {
			if err := e.WaitReady(ctx); err != nil {
				for _, s := range m.server.Proxies() {
					d, _ := m.server.Proxy(s.ID)
					t.Logf("%+v", d)
				}
				t.Logf("%+v", m.server.Stats())
				t.Fatal(err)
			}
			if err := p.Redirect(redirect.Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return envoys
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (m *live) bootstrap(p *lab.Pod) []byte {
	t := m.t
	t.Helper()
	dir := filepath.Join(m.lab.Dir(), "volume-"+p.Spec.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		injector.TokenFile:    []byte(p.UID),
		injector.RootFile:     m.authority.Bundle().PEM(),
		injector.TokenSDSFile: injector.TokenSDS(dir),
		injector.RootSDSFile:  injector.RootSDS(dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := injector.Bootstrap(injector.BootstrapOptions{
		PodName: p.Spec.Name, PodNamespace: p.Spec.Namespace, PodUID: p.UID, NodeName: "node",
		ControlPlane:     net.JoinHostPort(m.lab.NodeAddresses()[0].String(), "15012"),
		ControlPlaneName: controlPlaneName,
		ConfigDir:        dir,
		IPv6:             true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listen serves in a pod until the test ends.
func (m *live) listen(p *lab.Pod, port int, serve func(net.Listener)) {
	m.t.Helper()
	l, err := p.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { l.Close() })
	go serve(l)
}

// eachConn serves every connection in a goroutine of its own.
func eachConn(f func(net.Conn)) func(net.Listener) {
	return func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}
}

func liveSettings(l ...string) mesh.Settings {
	s := mesh.Settings{ServiceRanges: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:96::/112")}}
	s.Ranges = append(s.Ranges, s.ServiceRanges...)
	s.Ranges = append(s.Ranges, lab.PodRanges()...)
	for _, r := range l {
		s.Ranges = append(s.Ranges, netip.MustParsePrefix(r))
	}
	return s
}

// serverTLS is a certificate of the app's own.
func (m *live) serverTLS(name string) *tls.Config { return m.authority.ServerTLS([]string{name}) }
