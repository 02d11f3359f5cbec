package meshtest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
)

// Addresses that Services of tests get.
var (
	ServiceRange  = netip.MustParsePrefix("10.96.0.0/16")
	ServiceRange6 = netip.MustParsePrefix("fd00:10:96::/112")
)

// patience bounds every wait: far more than anything takes on a slow day.
const patience = 45 * time.Second

// Mesh is a running mesh. It ends with its test.
type Mesh struct {
	Lab     *lab.Lab
	T       testing.TB
	Ctx     context.Context
	Options controller.Options

	manifests string
	log       *logBuffer

	mu         sync.Mutex // guards:
	controller *controller.Controller
	stop       func()
}

// Option changes the control plane's options before it starts.
type Option func(*controller.Options)

// New makes a mesh without pods, and starts its control plane.
func New(t testing.TB, options ...Option) *Mesh {
	t.Helper()
	lab.RequireRoot(t)
	ctx := t.Context()
	l, err := lab.New(context.WithoutCancel(ctx), lab.Options{Name: "test", IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &Mesh{Lab: l, T: t, Ctx: ctx, manifests: filepath.Join(l.Dir(), "manifests"), log: new(logBuffer)}
	m.Options = controller.Options{
		Manifests:     m.manifests,
		StateDir:      filepath.Join(l.Dir(), "state"),
		XDSAddress:    netip.AddrPortFrom(l.NodeAddresses()[0], injector.XDSPort).String(),
		ServiceRanges: []netip.Prefix{ServiceRange, ServiceRange6},
		PodRanges:     lab.PodRanges(),
		VolumeOwner:   &localissuer.Owner{UID: 1337, GID: 1337},
		DrainWindow:   time.Millisecond,
		Log:           slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, o := range options {
		o(&m.Options)
	}
	t.Cleanup(m.close)
	if err := os.MkdirAll(m.manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	m.Start()
	return m
}

func (m *Mesh) close() {
	m.Stop()
	if m.T.Failed() {
		m.T.Logf("control plane:\n%s", m.log.tail(40))
	}
	if err := m.Lab.Close(); err != nil {
		m.T.Errorf("closing the lab: %v", err)
	}
}

// Start starts the control plane (again).
func (m *Mesh) Start() {
	m.T.Helper()
	o := m.Options
	listener, err := m.Lab.Node().Listen("tcp", o.XDSAddress)
	if err != nil {
		m.T.Fatal(err)
	}
	o.XDSListener = listener
	c, err := controller.New(o)
	if err != nil {
		m.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(m.Ctx))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.controller = c
	m.stop = func() {
		cancel()
		if err := <-done; err != nil {
			m.T.Errorf("control plane: %v", err)
		}
	}
}

// Stop ends the control plane, gracefully. It may be called again.
func (m *Mesh) Stop() {
	m.mu.Lock()
	stop := m.stop
	m.stop = nil
	m.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Controller is the running control plane.
func (m *Mesh) Controller() *controller.Controller {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.controller
}

// Log is what the control plane has logged.
func (m *Mesh) Log() string { return m.log.tail(1 << 20) }

// Apply writes a manifest file of that name, in one step, as kubectl or an
// editor would.
func (m *Mesh) Apply(name, text string) {
	m.T.Helper()
	tmp := filepath.Join(m.Lab.Dir(), name+".tmp")
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		m.T.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(m.manifests, name+".yaml")); err != nil {
		m.T.Fatal(err)
	}
}

// Delete removes what Apply wrote.
func (m *Mesh) Delete(name string) {
	m.T.Helper()
	if err := os.Remove(filepath.Join(m.manifests, name+".yaml")); err != nil {
		m.T.Fatal(err)
	}
}

// Eventually waits until f returns nil, asking it again and again.
func (m *Mesh) Eventually(what string, f func() error) {
	m.T.Helper()
	Eventually(m.T, what, f)
}

// Eventually waits until f returns nil, asking it again and again.
func Eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not so after %s: %v", what, patience, err)
		}
		<-pause.C
	}
}

// Service waits until the control plane knows the Service, and returns its
// first address.
func (m *Mesh) Service(namespace, name string) netip.Addr {
	m.T.Helper()
	var address netip.Addr
	m.Eventually("Service "+namespace+"/"+name, func() error {
		s := m.Controller().Store().Service(mesh.Name{Namespace: namespace, Name: name})
		if s == nil {
			return fmt.Errorf("not known")
		}
		if len(s.Addresses) == 0 {
			return fmt.Errorf("it has no address")
		}
		address = s.Addresses[0]
		return nil
	})
	return address
}

// InSync waits until every sidecar has ACKed what it is to have.
func (m *Mesh) InSync() {
	m.T.Helper()
	m.Eventually("all sidecars in sync", func() error {
		for _, p := range m.Controller().Server().Proxies() {
			if !p.Synced || p.Rejects {
				return fmt.Errorf("%s: synced %t, rejects %t", p.Pod, p.Synced, p.Rejects)
			}
		}
		return nil
	})
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) tail(lines int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := bytes.Split(b.text.Bytes(), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
