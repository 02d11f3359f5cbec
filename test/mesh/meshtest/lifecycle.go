package meshtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds/ads"
)

// Grow makes a pod as a Deployment does: it is in the folder before it is ready,
// serve starts its app when its sidecar is ready and redirects, and then it is
// Ready.
func (m *Mesh) Grow(spec lab.PodSpec, serve func(*Pod)) *Pod {
	m.T.Helper()
	if spec.Labels == nil {
		spec.Labels = map[string]string{"app": spec.Name}
	}
	lp, err := m.Lab.AddPod(spec)
	if err != nil {
		m.T.Fatal(err)
	}
	p := &Pod{Pod: lp, m: m}
	p.Update(notReady)
	if spec.Meshed {
		p.StartSidecar()
	}
	serve(p)
	p.Back()
	return p
}

// Retire takes a pod away as the kubelet does: it is Terminating first; when all
// callers know (what a preStop sleep is for) drain lets the app finish what is under
// way; then the sidecar ends, and then the pod is gone. services are the ports,
// "namespace/service:port", that it is an endpoint of.
func (p *Pod) Retire(drain func(), services ...string) {
	p.m.T.Helper()
	p.Terminate()
	p.m.Known(p, func(pod *mesh.Pod) bool { return pod != nil && pod.Terminating })
	p.m.Acked(services...)
	drain()
	if p.Envoy != nil {
		ctx, cancel := context.WithTimeout(p.m.Ctx, patience)
		defer cancel()
		if err := p.Envoy.Stop(ctx); err != nil {
			p.m.T.Error(err)
		}
	}
	p.Forget()
	if err := p.Delete(); err != nil {
		p.m.T.Error(err)
	}
}

func notReady(m *corev1.Pod) {
	m.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
}

// Terminate gives the pod a deletion timestamp.
func (p *Pod) Terminate() {
	p.m.T.Helper()
	p.Update(func(m *corev1.Pod) { m.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
}

// Update writes the pod's manifest with a change.
func (p *Pod) Update(change func(*corev1.Pod)) {
	p.m.T.Helper()
	manifest := p.Manifest()
	change(manifest)
	text, err := yaml.Marshal(manifest)
	if err != nil {
		p.m.T.Fatal(err)
	}
	p.m.Apply(p.file(), string(text))
}

// Forget takes the pod's manifest out of the folder.
func (p *Pod) Forget() {
	p.m.T.Helper()
	p.m.Delete(p.file())
}

// file is the name under which WriteManifest keeps the pod.
func (p *Pod) file() string { return "pod-" + p.Spec.Namespace + "_" + p.Spec.Name }

// Known waits until the control plane sees the pod so; nil is one that it does not
// know.
func (m *Mesh) Known(p *Pod, as func(*mesh.Pod) bool) {
	m.T.Helper()
	m.Eventually("what the control plane knows of "+p.Key(), func() error {
		if pod := m.Controller().Store().PodByUID(p.UID); !as(pod) {
			return fmt.Errorf("%+v", pod)
		}
		return nil
	})
}

// Acked waits until every sidecar that holds them has the present endpoints of the
// ports "namespace/service:port".
func (m *Mesh) Acked(services ...string) {
	m.T.Helper()
	keys := make([]ads.Key, len(services))
	for i, s := range services {
		keys[i] = ads.Key{Type: ads.Endpoint, Name: s}
	}
	m.AckedKeys(keys...)
}

// AckedKeys waits until every sidecar that holds them has acknowledged the present
// versions.
func (m *Mesh) AckedKeys(keys ...ads.Key) {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(m.Ctx, patience)
	defer cancel()
	if err := m.Controller().Server().WaitAcked(ctx, keys...); err != nil {
		m.T.Fatal(err)
	}
}

// Proxy waits for the pod's sidecar to be connected and returns what the control
// plane says of it.
func (m *Mesh) Proxy(p *Pod) ads.ProxyDetail {
	m.T.Helper()
	var d ads.ProxyDetail
	m.Eventually("the sidecar of "+p.Key()+" is connected", func() (err error) {
		d, err = m.proxy(p.Key())
		return err
	})
	return d
}

// proxy is the newest stream of a pod.
func (m *Mesh) proxy(pod string) (ads.ProxyDetail, error) {
	id := uint64(0)
	for _, s := range m.Controller().Server().Proxies() {
		if s.Pod == pod {
			id = s.ID
		}
	}
	return m.Controller().Server().Proxy(id)
}

// Connected waits until the sidecars of exactly these pods are connected and in
// sync.
func (m *Mesh) Connected(pods ...*Pod) {
	m.T.Helper()
	m.Eventually("the sidecars are connected", func() error {
		if n := len(m.Controller().Server().Proxies()); n != len(pods) {
			return fmt.Errorf("%d streams, want %d", n, len(pods))
		}
		for _, p := range pods {
			d, err := m.proxy(p.Key())
			if err != nil || !d.Synced {
				return fmt.Errorf("%s: synced %t, %w", p.Key(), d.Synced, err)
			}
		}
		return nil
	})
}

// StartEnvoyWith starts the sidecar's Envoy with another folder than the pod's own.
// It does not wait.
func (p *Pod) StartEnvoyWith(volume string) *lab.Envoy {
	p.m.T.Helper()
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
	e, err := p.Pod.StartEnvoy(lab.EnvoyOptions{Bootstrap: text})
	if err != nil {
		p.m.T.Fatal(err)
	}
	return e
}

// VolumeWith makes a folder for a sidecar as the pod's own, but with another token.
func (p *Pod) VolumeWith(name, token string) string {
	p.m.T.Helper()
	dir := filepath.Join(p.m.Lab.Dir(), "volume-"+name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		p.m.T.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(p.Volume(), injector.RootFile))
	if err != nil {
		p.m.T.Fatal(err)
	}
	for file, content := range map[string][]byte{
		injector.TokenFile: []byte(token), injector.RootFile: root,
		injector.TokenSDSFile: injector.TokenSDS(dir), injector.RootSDSFile: injector.RootSDS(dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			p.m.T.Fatal(err)
		}
	}
	return dir
}

// Token waits for the pod's token and returns it.
func (p *Pod) Token() string {
	p.m.T.Helper()
	var token []byte
	p.m.Eventually("a token for "+p.Key(), func() (err error) {
		token, err = os.ReadFile(filepath.Join(p.Volume(), injector.TokenFile))
		return err
	})
	return string(token)
}

// Back writes the pod's manifest as it was first: ready.
func (p *Pod) Back() {
	p.m.T.Helper()
	p.Update(func(*corev1.Pod) {})
}
