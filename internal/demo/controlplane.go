//go:build linux

package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
)

const (
	controlPlaneAddress = "10.244.0.1:15012"
	controlPlaneName    = "fairlead.fairlead-system.svc.cluster.local"
	serviceRange        = "10.96.0.0/16"

	// leafTTL is the product's own default; shortLeafTTL is that of the step which
	// shows renewals: a leaf is renewed at half to six tenths of its life.
	leafTTL      = 24 * time.Hour
	shortLeafTTL = 6 * time.Second
)

// controlPlane is the process of the control plane.
type controlPlane struct{ *lab.Process }

// debugSocket is where "fairlead proxy" asks.
func (w *world) debugSocket() string { return filepath.Join(w.dir, "fairlead.sock") }

// startController starts the control plane and waits until its port is open.
func (w *world) startController(ctx context.Context, ttl time.Duration) error {
	args := []string{
		w.program("fairlead-controller"),
		"--manifests", w.manifests(), "--state-dir", w.state(),
		"--xds-address", controlPlaneAddress, "--server-name", controlPlaneName,
		"--debug-address", "unix:" + w.debugSocket(),
		"--service-range", serviceRange, "--leaf-ttl", ttl.String(), "--drain-window", "300ms",
	}
	for _, r := range lab.PodRanges() {
		args = append(args, "--pod-range", r.String())
	}
	p, err := w.lab.Node().Start(lab.ProcessSpec{Name: "controller", Args: args})
	if err != nil {
		return err
	}
	w.control = &controlPlane{p}
	return w.waitControlPlane(ctx)
}

func (w *world) waitControlPlane(ctx context.Context) error {
	return until(ctx, startLimit, "the control plane's port "+controlPlaneAddress, func(ctx context.Context) error {
		select {
		case <-w.control.Done():
			return fmt.Errorf("it ended: %s", tail(w.control.Logs()))
		default:
		}
		conn, err := w.lab.Node().DialContext(ctx, "tcp", controlPlaneAddress)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// tail is the last line of a log.
func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
