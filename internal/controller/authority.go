package controller

import (
	"context"
	"time"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

// trustPatience bounds how long new leaves wait for sidecars that do not
// acknowledge the roots that verify them.
const trustPatience = 10 * time.Second

// followAuthority leads a change of the roots or of the signer to the sidecars:
// first what they trust; when all have acknowledged that, leaves of the new signer.
// No sidecar shows a leaf that another cannot verify, and none is restarted.
func (c *Controller) followAuthority(ctx context.Context) error {
	signer := ""
	for range c.authority.Subscribe(ctx) {
		c.server.Changed(c.generator.BundleKeys())
		now := c.authority.IssuerKeyID()
		if signer != "" && signer != now {
			wait, cancel := context.WithTimeout(ctx, trustPatience)
			err := c.server.WaitAcked(wait, c.trustKeys()...)
			cancel()
			if err != nil {
				c.options.Log.Warn("new certificates are issued though not every sidecar has acknowledged the roots", "error", err)
			}
			c.server.Reissue(func(*ads.Client, ads.Key) bool { return true })
		}
		signer = now
	}
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
