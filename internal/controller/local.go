package controller

import (
	"context"
	"log/slog"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/mesh"
)

// volumes keeps a folder for each meshed pod of the manifests: what a kubelet
// would mount into its sidecar.
type volumes struct {
	projector *localissuer.Projector
	store     *mesh.Store
	log       *slog.Logger
	wake      chan struct{}
}

func newVolumes(o Options, store *mesh.Store, issuer *localissuer.Issuer, trust *certs.Authority) (*volumes, error) {
	p, err := localissuer.NewProjector(localissuer.ProjectorConfig{
		Dir:    VolumesDir(o.StateDir),
		Issuer: issuer,
		Trust:  trust,
		Files: func(volume string) map[string][]byte {
			return map[string][]byte{
				injector.TokenSDSFile: injector.TokenSDS(volume),
				injector.RootSDSFile:  injector.RootSDS(volume),
			}
		},
		Owner:     o.VolumeOwner,
		TokenLife: o.TokenTTL,
		Logger:    o.Log,
	})
	if err != nil {
		return nil, err
	}
	return &volumes{projector: p, store: store, log: o.Log, wake: make(chan struct{}, 1)}, nil
}

// changed is told of every change of the model.
func (v *volumes) changed(keys []mesh.Key) {
	for _, k := range keys {
		if k.Kind == mesh.KindPod {
			select {
			case v.wake <- struct{}{}:
			default:
			}
			return
		}
	}
}

// run follows the pods until ctx ends.
func (v *volumes) run(ctx context.Context) error {
	for {
		if err := v.sync(); err != nil {
			v.log.Error("some local sidecars have no token", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-v.wake:
		}
	}
}

func (v *volumes) sync() error {
	var pods []localissuer.Pod
	for _, p := range v.store.Pods() {
		if p.Meshed && !p.Template && len(p.Addresses) > 0 {
			pods = append(pods, localissuer.Pod{Name: p.Name, UID: p.UID, ServiceAccount: p.ServiceAccount})
		}
	}
	return v.projector.Sync(pods)
}
