package policy_test

import (
	"testing"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

// TestDefaultsAreSafe holds the defaults to what the mesh promises of them: no
// request that an app may have seen is repeated, and half the endpoints stay.
func TestDefaultsAreSafe(t *testing.T) {
	if r := policy.DefaultRetry; len(r.Codes) != 0 || !r.Unreached || r.Attempts == 0 {
		t.Errorf("DefaultRetry = %+v: it may retry only what never reached the app", r)
	}
	if o := policy.DefaultOutlier; o.MaxEjectedPercent > 50 || o.MaxEjection < o.Ejection {
		t.Errorf("DefaultOutlier = %+v", o)
	}
	if b := policy.DefaultBreakers; min(b.MaxConnections, b.MaxPending, b.MaxRequests) <= 1024 {
		t.Errorf("DefaultBreakers = %+v: a busy client reaches Envoy's 1024", b)
	}
}

// TestDefaultsGiveNoRules checks that a Service with defaults only has no rules,
// for which every proxy would pay.
func TestDefaultsGiveNoRules(t *testing.T) {
	store := load(t, `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, sessionAffinity: ClientIP, ports: [{port: 80}]}}`)
	if d := policy.ServiceDefaults(store, webName, 80); !d.ClientIPAffinity || d.Retry.Attempts != policy.DefaultRetry.Attempts {
		t.Errorf("ServiceDefaults = %+v", d)
	}
	if policy.HasRules(store, "shop", webName, 80) {
		t.Error("a Service without routes has rules")
	}
	if d := policy.ServiceDefaults(store, mesh.Name{Namespace: "shop", Name: "gone"}, 80); d.ConnectTimeout != policy.DefaultConnectTimeout {
		t.Errorf("a Service that is not there has no defaults: %+v", d)
	}
}
