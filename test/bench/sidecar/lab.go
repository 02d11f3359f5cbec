package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/injector/redirect"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/test/bench/plane"
)

// podAddresses is how many pod addresses lead to the backend.
const podAddresses = 1000

// testbed is the two pods and the control plane.
type testbed struct {
	lab             *lab.Lab
	plane           *plane.Plane
	projector       *localissuer.Projector
	caller, backend *lab.Pod
}

// build makes everything but the caller's Envoy. Whatever fails, close it.
func (b *testbed) build(ctx context.Context) error {
	var err error
	if b.lab, err = lab.New(ctx, lab.Options{Name: "bench"}); err != nil {
		return err
	}
	var addresses []netip.Addr
	for i := range podAddresses {
		addresses = append(addresses, podAddress(i))
	}
	spec := func(name string) lab.PodSpec {
		return lab.PodSpec{Namespace: namespace, Name: name, ServiceAccount: name, Labels: map[string]string{"app": name}, Meshed: true}
	}
	if b.caller, err = b.lab.AddPod(spec("caller")); err != nil {
		return err
	}
	backend := spec("backend")
	backend.ExtraAddresses = addresses
	if b.backend, err = b.lab.AddPod(backend); err != nil {
		return err
	}
	if err := b.startPlane(); err != nil {
		return err
	}
	if err := b.startBackend(ctx); err != nil {
		return err
	}
	return b.caller.Redirect(redirect.Options{})
}

func (b *testbed) startPlane() error {
	authority, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		return err
	}
	node := b.lab.NodeAddresses()[0].String()
	if b.plane, err = plane.New(authority, node); err != nil {
		return err
	}
	caller, backend := pod(b.caller), pod(b.backend)
	b.plane.Store.Apply(mesh.Batch{
		Settings:   settings(),
		Namespaces: []*mesh.Namespace{{Name: namespace}},
		Pods:       []*mesh.Pod{caller, backend},
	})
	b.plane.Store.Apply(pods(podAddresses, backend))
	listener, err := b.lab.Node().Listen("tcp", net.JoinHostPort(node, fmt.Sprint(injector.XDSPort)))
	if err != nil {
		return err
	}
	go func() { _ = b.plane.Serve(listener) }() // its end is that of the lab

	b.projector, err = localissuer.NewProjector(localissuer.ProjectorConfig{
		Dir: filepath.Join(b.lab.Dir(), "volumes"), Issuer: b.plane.Issuer, Trust: authority, TokenLife: plane.TokenLife,
		Owner: &localissuer.Owner{UID: redirect.ProxyID, GID: redirect.ProxyID},
		Files: func(volume string) map[string][]byte {
			return map[string][]byte{injector.TokenSDSFile: injector.TokenSDS(volume), injector.RootSDSFile: injector.RootSDS(volume)}
		},
	})
	if err != nil {
		return err
	}
	var volumes []localissuer.Pod
	for _, p := range []*mesh.Pod{caller, backend} {
		volumes = append(volumes, localissuer.Pod{Name: p.Name, UID: p.UID, ServiceAccount: p.ServiceAccount})
	}
	return b.projector.Sync(volumes)
}

func (b *testbed) startBackend(ctx context.Context) error {
	listener, err := b.backend.Listen("tcp", fmt.Sprintf(":%d", appPort))
	if err != nil {
		return err
	}
	app := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = app.Serve(listener) }()                 // its end is that of the lab
	if _, err := b.startEnvoy(ctx, b.backend); err != nil { // it ends with the lab
		return err
	}
	return b.backend.Redirect(redirect.Options{})
}

func (b *testbed) startEnvoy(ctx context.Context, p *lab.Pod) (*lab.Envoy, error) {
	text, err := injector.Bootstrap(injector.BootstrapOptions{
		PodName: p.Spec.Name, PodNamespace: p.Spec.Namespace, PodUID: p.UID, NodeName: "lab",
		ControlPlane: net.JoinHostPort(b.lab.NodeAddresses()[0].String(), fmt.Sprint(injector.XDSPort)),
		ConfigDir:    b.projector.Path(mesh.Name{Namespace: p.Spec.Namespace, Name: p.Spec.Name}),
	})
	if err != nil {
		return nil, err
	}
	envoy, err := p.StartEnvoy(lab.EnvoyOptions{Bootstrap: text})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return envoy, envoy.WaitReady(ctx)
}

// call makes n requests to an address, one after the other.
func (b *testbed) call(ctx context.Context, client *http.Client, to netip.AddrPort, n int) error {
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to.String()+"/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("GET http://%s/ from the caller: %s: %s", to, resp.Status, body)
		}
	}
	return nil
}

func (b *testbed) close() error {
	var errs []error
	if b.lab != nil {
		errs = append(errs, b.lab.Close())
	}
	if b.projector != nil {
		errs = append(errs, b.projector.Close())
	}
	if b.plane != nil {
		errs = append(errs, b.plane.Stop())
	}
	return errors.Join(errs...)
}
