package xds

import (
	"errors"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

// secret is what tells a proxy whom to trust. It reads the settings, which is
// also how it is built again for a new bundle (BundleKeys).
func (g *Generator) secret(name string, v mesh.View) (ads.Built, error) {
	n, ok := envoy.ParseSecret(name)
	if !ok || n.Fixed == envoy.LeafSecret {
		return unknown(ads.Secret, name)
	}
	settings(v) // see BundleKeys
	bundle := g.authority.Bundle().PEM()
	if len(bundle) == 0 {
		return ads.Built{}, errors.New("the trust bundle is empty")
	}
	switch {
	case n.Fixed == envoy.RootsSecret:
		return ads.Built{Message: envoy.Roots(bundle, g.trustDomain)}, nil
	case !n.Service.IsZero() && v.Service(n.Service) == nil:
		return ads.Built{}, nil // see endpoints
	case !n.Service.IsZero():
		return ads.Built{Message: envoy.Peers(n, bundle, g.trustDomain, accounts(v.Endpoints(n.Service)))}, nil
	default:
		return ads.Built{Message: envoy.Peers(n, bundle, g.trustDomain, []mesh.Name{n.Account})}, nil
	}
}

// accounts are those of all endpoints with a sidecar, ready or not: an account
// is to be known before its endpoint is called.
func accounts(e *mesh.Endpoints) []mesh.Name {
	if e == nil {
		return nil
	}
	var list []mesh.Name
	for i := range e.List {
		if e.List[i].Meshed {
			list = append(list, e.List[i].Account)
		}
	}
	return list
}
