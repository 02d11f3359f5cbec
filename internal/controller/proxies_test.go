package controller

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds"
)

// The store is never kept waiting: pods that change while others are looked at
// are looked at together, later.
func TestProxiesCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got [][]string
		hold := make(chan struct{})
		p := newProxies(func(names ...mesh.Name) {
			var list []string
			for _, n := range names {
				list = append(list, n.Name)
			}
			slices.Sort(list)
			got = append(got, list)
			<-hold
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.run(ctx) }()
		touch := func(kind mesh.Kind, name string) {
			p.changed([]mesh.Key{{Kind: kind, Name: mesh.Name{Namespace: "shop", Name: name}}})
			synctest.Wait()
		}
		touch(mesh.KindService, "cart")
		touch(mesh.KindPod, "web-1")
		touch(mesh.KindPod, "web-2")
		touch(mesh.KindPod, "web-3")
		touch(mesh.KindPod, "web-2")
		close(hold)
		synctest.Wait()
		if want := [][]string{{"web-1"}, {"web-2", "web-3"}}; !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("looked at %v, want %v", got, want)
		}
		cancel()
		if err := <-done; err != context.Canceled {
			t.Error(err)
		}
	})
}

// A client stays the same while its pod does, and is gone with the pod of its
// UID, whatever has the name now.
func TestRefresh(t *testing.T) {
	store := mesh.NewStore(mesh.Settings{})
	generator := xds.New(xds.Config{TrustDomain: "cluster.local"})
	a := &authenticator{store: store, client: generator.Client}
	name := mesh.Name{Namespace: "shop", Name: "web-1"}
	pod := func(uid, account string) mesh.Batch {
		return mesh.Batch{Pods: []*mesh.Pod{{Name: name, UID: uid, ServiceAccount: account}}}
	}
	store.Apply(pod("u1", "web"))
	c := generator.Client(store.PodByUID("u1"))
	if got := a.refresh(c); got != c {
		t.Errorf("nothing changed, but the client is %v", got)
	}
	changed := pod("u1", "web")
	changed.Pods[0].Workload = mesh.Workload{Kind: "Deployment", Name: mesh.Name{Namespace: "shop", Name: "web"}}
	store.Apply(changed)
	if got := a.refresh(c); got == nil || got == c || got.Workload.Name.Name != "web" {
		t.Errorf("after a change of the pod the client is %v", got)
	}
	store.Apply(pod("u2", "web"))
	if got := a.refresh(c); got != nil {
		t.Errorf("the pod was replaced, but the client is %v", got)
	}
}
