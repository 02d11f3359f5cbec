//go:build linux

package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/lab"
)

// startLimit bounds the start of a sidecar or an app; a busy machine takes a few
// seconds.
const startLimit = 30 * time.Second

// pod is a pod with what runs in it.
type pod struct {
	*lab.Pod
	replica
	envoy *lab.Envoy
	app   *lab.Process
}

// addPod makes the pod and its manifest: from then on the control plane knows it.
func (w *world) addPod(r replica) (*pod, error) {
	made, err := w.lab.AddPod(lab.PodSpec{
		Namespace: r.namespace, Name: r.name, ServiceAccount: r.account,
		Labels: r.labels, Ports: r.ports, Owner: &r.owner, Meshed: true,
	})
	if err != nil {
		return nil, err
	}
	if _, err := made.WriteManifest(w.manifests()); err != nil {
		return nil, err
	}
	p := &pod{Pod: made, replica: r}
	w.pods[r.name] = p
	return p, nil
}

// addOutsider makes a pod without a sidecar, and without any program.
func (w *world) addOutsider(name string) (*lab.Pod, error) {
	p, err := w.lab.AddPod(lab.PodSpec{Namespace: "outside", Name: name})
	if err != nil {
		return nil, err
	}
	_, err = p.WriteManifest(w.manifests())
	return p, err
}

// startSidecar does what the kubelet and the init container do: it waits for the
// projected volume, starts Envoy, and redirects when Envoy is ready.
func (p *pod) startSidecar(ctx context.Context, state string) error {
	volume := filepath.Join(state, "pods", p.namespace, p.name)
	err := until(ctx, startLimit, "token of pod "+p.Key(), func(context.Context) error {
		_, err := os.Stat(filepath.Join(volume, injector.TokenFile))
		return err
	})
	if err != nil {
		return err
	}
	bootstrap, err := injector.Bootstrap(injector.BootstrapOptions{
		PodName: p.name, PodNamespace: p.namespace, PodUID: p.UID, NodeName: "lab",
		ControlPlane: controlPlaneAddress, ControlPlaneName: controlPlaneName, ConfigDir: volume,
	})
	if err != nil {
		return err
	}
	if p.envoy, err = p.StartEnvoy(lab.EnvoyOptions{
		Bootstrap: bootstrap,
		// Else Envoy says of each field in use that its API is still in the works.
		ComponentLogLevel: "misc:error",
	}); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := p.envoy.WaitReady(ready); err != nil {
		return err
	}
	return p.Redirect(redirect.Options{})
}

// startApp starts the container's program.
func (p *pod) startApp(program string) (err error) {
	if len(p.args) == 0 {
		return nil
	}
	p.app, err = p.Start(lab.ProcessSpec{
		Name: "app",
		Args: append([]string{program}, p.args...),
		Env:  []string{"POD_NAME=" + p.name},
	})
	return err
}

// waitServing waits until the app listens.
func (p *pod) waitServing(ctx context.Context) error {
	if p.app == nil || p.port() == 0 {
		return nil
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.port())))
	return until(ctx, startLimit, "app of pod "+p.Key(), func(ctx context.Context) error {
		select {
		case <-p.app.Done():
			return fmt.Errorf("it ended: %s", strings.TrimSpace(p.app.Logs()))
		default:
		}
		conn, err := p.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
