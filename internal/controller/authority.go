package controller

import (
	"context"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

// followAuthority leads every change of the CA to the sidecars.
func (c *Controller) followAuthority(ctx context.Context) error {
	r := rotation{
		authority:    c.authority,
		log:          c.options.Log,
		push:         func() { c.server.Changed(c.generator.BundleKeys()) },
		project:      c.volumes.projector.Refresh,
		acknowledged: func(ctx context.Context) error { return c.server.WaitAcked(ctx, c.trustKeys()...) },
		reissue:      func() { c.server.Reissue(func(*ads.Client, ads.Key) bool { return true }) },
		absent:       c.absentSidecars,
		outdated:     c.outdatedLeaves,
	}
	r.run(ctx)
	return nil
}

// trustKeys are all resources that hold the roots.
func (c *Controller) trustKeys() []ads.Key {
	names := []envoy.SecretName{{Fixed: envoy.RootsSecret}}
	for _, s := range c.store.Services() {
		names = append(names, envoy.SecretName{Service: s.Name})
	}
	accounts := make(map[mesh.Name]bool)
	for _, p := range c.store.Pods() {
		if account := p.AccountName(); !accounts[account] {
			accounts[account] = true
			names = append(names, envoy.SecretName{Account: account})
		}
	}
	keys := make([]ads.Key, len(names))
	for i, n := range names {
		keys[i] = ads.Key{Type: ads.Secret, Name: n.String()}
	}
	return keys
}

// absentSidecars names the pods that have a sidecar, but no stream.
func (c *Controller) absentSidecars() []string {
	connected := make(map[string]bool)
	for _, p := range c.server.Proxies() {
		connected[p.Pod] = true
	}
	var names []string
	for _, p := range c.store.Pods() {
		if p.Meshed && !p.Template && !p.Terminating && len(p.Addresses) > 0 && !connected[p.Name.String()] {
			names = append(names, p.Name.String())
		}
	}
	return names
}

// outdatedLeaves names the sidecars that have not ACKed a leaf of the present
// signer. The streams of the others are noted in done and not looked at again: who
// has such a leaf is given no other.
func (c *Controller) outdatedLeaves(done map[uint64]bool) []string {
	var names []string
	for _, p := range c.server.Proxies() {
		if done[p.ID] {
			continue
		}
		detail, err := c.server.Proxy(p.ID)
		if err != nil {
			continue // gone by now
		}
		if c.hasPresentLeaf(detail) {
			done[p.ID] = true
		} else {
			names = append(names, p.Pod)
		}
	}
	return names
}

func (c *Controller) hasPresentLeaf(p ads.ProxyDetail) bool {
	id, err := mesh.ParseIdentity(p.Identity)
	if err != nil {
		return false
	}
	for _, r := range p.Resources {
		if r.Type == ads.Secret.String() && r.Name == envoy.LeafSecret {
			return r.Sent == r.Acked && c.authority.SignedNow(r.Acked, id)
		}
	}
	return true // it shows none
}
