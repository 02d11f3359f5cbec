package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/policy"
)

// BenchmarkForService reads a Service with one route: one of two rules, as most
// are, and one as large as the API allows (16 rules, 128 matches).
func BenchmarkForService(b *testing.B) {
	for _, size := range []struct{ rules, matches int }{{2, 1}, {16, 8}} {
		b.Run(fmt.Sprintf("rules=%d/matches=%d", size.rules, size.rules*size.matches), func(b *testing.B) {
			store := load(b, benchYAML(size.rules, size.matches))
			if out := policy.ForService(store, "shop", webName, 80); len(out.Rules) != size.rules*size.matches {
				b.Fatalf("%d rules", len(out.Rules))
			}
			b.ReportAllocs()
			for b.Loop() {
				policy.ForService(store, "shop", webName, 80)
			}
		})
	}
}

// BenchmarkNoRules asks about a Service without routes, which most are.
func BenchmarkNoRules(b *testing.B) {
	store := load(b, benchYAML(1, 1))
	name := webName
	name.Name = "v1"
	b.ReportAllocs()
	for b.Loop() {
		policy.ForService(store, "shop", name, 80)
	}
}

func benchYAML(rules, matches int) string {
	var w strings.Builder
	w.WriteString(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: v1, namespace: shop}, spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules:
`)
	for r := range rules {
		w.WriteString("  - backendRefs: [{name: v1, port: 80, weight: 90}, {name: web, port: 80, weight: 10}]\n")
		w.WriteString("    timeouts: {request: 1s}\n    matches:\n")
		for m := range matches {
			fmt.Fprintf(&w, "    - {path: {value: /r%d/m%d}, headers: [{name: x-version, value: v%d}]}\n", r, m, m)
		}
	}
	return w.String()
}
