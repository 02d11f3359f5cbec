package xds

import (
	"slices"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

// virtualHost is the rules of an address for the callers of one namespace
// (the variant); none if its port has no rules for them.
func virtualHost(k ads.Key, v mesh.View) (ads.Built, error) {
	a, ok := envoy.ParseVirtualHost(k.Name)
	if !ok {
		return unknown(ads.VirtualHost, k.Name)
	}
	if !a.IsValid() {
		return ads.Built{Message: envoy.NewAnyAddress()}, nil
	}
	s := serviceAt(v, a)
	if s == nil || s.Name == apiServer {
		return ads.Built{}, nil
	}
	out := policy.ForService(v, k.Variant, s.Name, a.Port())
	if len(out.Rules) == 0 {
		return ads.Built{}, nil
	}
	targets := envoy.Targets(out)
	defaults := policy.ServiceDefaults(v, s.Name, a.Port())
	h := envoy.NewVirtualHost(envoy.VirtualHost{
		Address:  a,
		Outbound: out,
		Retry:    &defaults.Retry,
		Affinity: slices.ContainsFunc(targets, func(t policy.Target) bool {
			return policy.ServiceDefaults(v, t.Service, t.Port).ClientIPAffinity
		}),
	})
	b := ads.Built{Message: h}
	for _, t := range targets {
		c := ads.Ref{Type: ads.Cluster, Name: envoy.ClusterName{Backend: t}.String()}
		b.Refs = append(b.Refs, c)
		// A route to a cluster that is not there yet, or has no endpoints yet, would
		// fail the requests that the old routes still serve.
		b.After = append(b.After, c,
			ads.Ref{Type: ads.Endpoint, Name: envoy.AssignmentName{Target: t}.String()},
			peers(t.Service))
	}
	return b, nil
}
