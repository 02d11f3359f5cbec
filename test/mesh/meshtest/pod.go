package meshtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
)

// Pod is a pod of the mesh, with its sidecar if it has one.
type Pod struct {
	*lab.Pod
	Envoy *lab.Envoy // nil without a sidecar
	m     *Mesh
}

// Pod makes a pod and its manifest. If it is meshed it comes back with a sidecar
// that is ready and redirected.
func (m *Mesh) Pod(spec lab.PodSpec) *Pod {
	m.T.Helper()
	p := m.PodWithoutSidecar(spec)
	if spec.Meshed {
		p.StartSidecar()
	}
	return p
}

// PodWithoutSidecar makes a pod and its manifest, and starts nothing in it.
func (m *Mesh) PodWithoutSidecar(spec lab.PodSpec) *Pod {
	m.T.Helper()
	if spec.Labels == nil {
		spec.Labels = map[string]string{"app": spec.Name}
	}
	lp, err := m.Lab.AddPod(spec)
	if err != nil {
		m.T.Fatal(err)
	}
	if _, err := lp.WriteManifest(m.manifests); err != nil {
		m.T.Fatal(err)
	}
	return &Pod{Pod: lp, m: m}
}

// StartSidecar starts Envoy in the pod, waits until it is ready and redirects.
func (p *Pod) StartSidecar() {
	p.m.T.Helper()
	p.StartEnvoy()
	p.WaitReady()
	p.Redirect()
}

// StartEnvoy starts the sidecar's Envoy and does not wait.
func (p *Pod) StartEnvoy() {
	p.m.T.Helper()
	volume := p.Volume()
	p.m.Eventually("a token for "+p.Key(), func() error {
		_, err := os.Stat(filepath.Join(volume, injector.TokenFile))
		return err
	})
	text, err := injector.Bootstrap(injector.BootstrapOptions{
		PodName: p.Spec.Name, PodNamespace: p.Spec.Namespace, PodUID: p.UID, NodeName: "node",
		ControlPlane:     p.m.Options.XDSAddress,
		ControlPlaneName: controller.DefaultServerName,
		ConfigDir:        volume,
		IPv6:             true,
	})
	if err != nil {
		p.m.T.Fatal(err)
	}
	p.Envoy, err = p.Pod.StartEnvoy(lab.EnvoyOptions{Bootstrap: text})
	if err != nil {
		p.m.T.Fatal(err)
	}
	envoy := p.Envoy
	p.m.T.Cleanup(func() {
		if p.m.T.Failed() {
			p.m.T.Logf("sidecar of %s:\n%.4000s", p.Key(), envoy.Logs())
		}
	})
}

// WaitReady waits for the sidecar to be ready.
func (p *Pod) WaitReady() {
	p.m.T.Helper()
	ctx, cancel := context.WithTimeout(p.m.Ctx, patience)
	defer cancel()
	if err := p.Envoy.WaitReady(ctx); err != nil {
		p.m.T.Fatal(err)
	}
}

// Redirect leads the pod's connections through the sidecar.
func (p *Pod) Redirect() {
	p.m.T.Helper()
	if err := p.Pod.Redirect(redirect.Options{}); err != nil {
		p.m.T.Fatal(err)
	}
}

// Volume is the folder that the sidecar reads.
func (p *Pod) Volume() string {
	return filepath.Join(controller.VolumesDir(p.m.Options.StateDir), p.Spec.Namespace, p.Spec.Name)
}

// Name is the pod's namespaced name.
func (p *Pod) MeshName() mesh.Name {
	return mesh.Name{Namespace: p.Spec.Namespace, Name: p.Spec.Name}
}

// DeleteManifest takes the pod out of the folder, as the API server forgets it.
func (p *Pod) DeleteManifest() {
	p.m.T.Helper()
	path, err := p.WriteManifest(p.m.manifests)
	if err != nil {
		p.m.T.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		p.m.T.Fatal(err)
	}
}

// ServeTCP calls handle with every connection to the port, on all of the pod's
// addresses; handle need not close it.
func (p *Pod) ServeTCP(port int, handle func(net.Conn)) {
	p.m.T.Helper()
	l, err := p.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		p.m.T.Fatal(err)
	}
	p.m.T.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
}

// Dial connects to an address from inside the pod.
func (p *Pod) Dial(address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.m.Ctx, 15*time.Second)
	defer cancel()
	conn, err := p.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
