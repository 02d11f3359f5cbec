package controller

import (
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

// proxies keeps the streams in step with the pods behind them: a deleted pod's
// stream is closed, one whose pod changed is described anew.
type proxies struct {
	store     *mesh.Store
	server    *ads.Server
	generator *xds.Generator
}

func newProxies(store *mesh.Store, server *ads.Server, generator *xds.Generator) *proxies {
	return &proxies{store: store, server: server, generator: generator}
}

// changed is told of every change of the model, after it is visible.
func (p *proxies) changed(keys []mesh.Key) {
	touched := make(map[mesh.Name]bool)
	for _, k := range keys {
		if k.Kind == mesh.KindPod {
			touched[k.Name] = true
		}
	}
	if len(touched) == 0 {
		return
	}
	p.server.CloseWhere(func(c *ads.Client) bool {
		return touched[c.Pod] && p.store.PodByUID(c.PodUID) == nil
	})
	p.server.UpdateClient(func(c *ads.Client) *ads.Client {
		if !touched[c.Pod] {
			return nil
		}
		pod := p.store.PodByUID(c.PodUID)
		if pod == nil {
			return nil
		}
		if now := p.generator.Client(pod); *now != *c {
			return now
		}
		return nil
	})
}
