package policy_test

import (
	"testing"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

func TestDeclaredHTTP(t *testing.T) {
	v := load(t, `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  ports:
  - {name: quic, port: 80, protocol: UDP}
  - {name: http, port: 80}
  - {name: main, port: 81}
  - {name: tcp, port: 82}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: consumer, namespace: front}
spec:
  parentRefs: [{group: "", kind: Service, name: web, namespace: shop, port: 81}, {group: "", kind: Service, name: web, namespace: shop, port: 82}]
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
  clusterIP: 10.96.0.11
  ports: [{name: main, port: 81}, {name: tcp, port: 82}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: producer, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: api}]
`)
	for _, c := range []struct {
		client, service string
		port            uint16
		want            bool
	}{
		{"shop", "web", 80, true},
		{"shop", "web", 81, false}, // another namespace's route closes nothing here
		{"other", "web", 81, false},
		{"front", "web", 81, true},
		{"front", "web", 82, true},
		{"shop", "web", 83, false},
		{"shop", "api", 81, true},
		{"front", "api", 81, true},
		{"front", "api", 82, false}, // a route of the whole Service leaves it what it says it is
		{"shop", "gone", 80, false},
	} {
		if got := policy.DeclaredHTTP(v, c.client, mesh.Name{Namespace: "shop", Name: c.service}, c.port); got != c.want {
			t.Errorf("%s:%d from %s: %v", c.service, c.port, c.client, got)
		}
	}
}
