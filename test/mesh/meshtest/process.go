package meshtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/internal/lab"
)

// controllerEnv makes Main be the control plane.
const controllerEnv = "FAIRLEAD_TEST_AS_CONTROLLER"

// Main is for TestMain. A test's own binary is also fairlead-controller, so that
// what is killed in a test is what the test was built with.
func Main(m *testing.M) {
	if os.Getenv(controllerEnv) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cmd := controller.Command()
	cmd.SetArgs(os.Args[1:])
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// StartProcess starts the control plane as a process of its own, in place of the
// one inside the test, which must have been stopped. It serves when StartProcess
// returns.
func (m *Mesh) StartProcess() *lab.Process {
	m.T.Helper()
	self, err := os.Executable()
	if err != nil {
		m.T.Fatal(err)
	}
	args := []string{self,
		"--manifests", m.Options.Manifests, "--state-dir", m.Options.StateDir,
		"--xds-address", m.Options.XDSAddress, "--debug-address", "unix:" + m.debugSocket(),
		"--drain-window", m.Options.DrainWindow.String(), "--log-level", "debug",
	}
	if m.Options.LeafTTL != 0 {
		args = append(args, "--leaf-ttl", m.Options.LeafTTL.String())
	}
	for _, r := range m.Options.ServiceRanges {
		args = append(args, "--service-range", r.String())
	}
	for _, r := range m.Options.PodRanges {
		args = append(args, "--pod-range", r.String())
	}
	p, err := m.Lab.Node().Start(lab.ProcessSpec{Name: "controller", Args: args, Env: append(os.Environ(), controllerEnv+"=1")})
	if err != nil {
		m.T.Fatal(err)
	}
	m.WaitServing(p)
	m.T.Cleanup(func() {
		if m.T.Failed() {
			m.T.Logf("control plane's process:\n%.8000s", p.Logs())
		}
	})
	return p
}

// WaitServing waits until the process takes connections.
func (m *Mesh) WaitServing(p *lab.Process) {
	m.T.Helper()
	m.Eventually("the control plane serves", func() error {
		select {
		case <-p.Done():
			m.T.Fatalf("the control plane ended:\n%s", p.Logs())
		default:
		}
		ctx, cancel := context.WithTimeout(m.Ctx, time.Second)
		defer cancel()
		conn, err := m.Lab.Node().DialContext(ctx, "tcp", m.Options.XDSAddress)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (m *Mesh) debugSocket() string { return filepath.Join(m.Lab.Dir(), "debug.sock") }

// WithDebug opens the debug listener.
func WithDebug(o *controller.Options) {
	o.DebugAddress = "unix:" + filepath.Join(filepath.Dir(o.Manifests), "debug.sock")
}

// Debug gets a path of the debug listener (WithDebug, or StartProcess).
func (m *Mesh) Debug(path string) ([]byte, error) {
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", m.debugSocket())
		},
	}}
	resp, err := c.Get("http://localhost" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return body, err
}
