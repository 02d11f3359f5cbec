package controller

import (
	"context"
	"sync"

	"github.com/fairlead/fairlead/mesh"
)

// proxies keeps the streams in step with the pods behind them: a deleted pod's
// stream is closed, one whose pod changed is described anew. The model's writer
// only notes which pods changed (changed); the work is done by run.
type proxies struct {
	refresh func(...mesh.Name)
	wake    chan struct{}

	mu      sync.Mutex // guards:
	touched map[mesh.Name]struct{}
}

// newProxies has refresh told of the pods that changed: ads.Server.RefreshPods.
func newProxies(refresh func(...mesh.Name)) *proxies {
	return &proxies{refresh: refresh, wake: make(chan struct{}, 1), touched: make(map[mesh.Name]struct{})}
}

// changed is told of every change of the model, after it is visible.
func (p *proxies) changed(keys []mesh.Key) {
	p.mu.Lock()
	for _, k := range keys {
		if k.Kind == mesh.KindPod {
			p.touched[k.Name] = struct{}{}
		}
	}
	work := len(p.touched) > 0
	p.mu.Unlock()
	if work {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// run does what changed asks for, until ctx ends.
func (p *proxies) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.wake:
		}
		p.mu.Lock()
		names := make([]mesh.Name, 0, len(p.touched))
		for name := range p.touched {
			names = append(names, name)
		}
		clear(p.touched)
		p.mu.Unlock()
		p.refresh(names...)
	}
}
