package mesh_test

import (
	"testing"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// A parentRef with a port, or with the name of one, concerns that port alone; one
// without concerns all of them. The Service's other ports go on as without rules.
func TestRulesHoldOnTheirPorts(t *testing.T) {
	s := newShop(t)
	s.Apply("ports", `apiVersion: v1
kind: Service
metadata: {name: many, namespace: shop}
spec:
  selector: {app: apps}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 8080, targetPort: 8080}
  - {name: metrics, port: 9090, targetPort: 8080}
  - {name: plain, port: 9091, targetPort: 8080}
---
apiVersion: v1
kind: Service
metadata: {name: whole, namespace: shop}
spec:
  selector: {app: apps}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 8080, targetPort: 8080}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: by-number, namespace: shop}
spec:
  parentRefs:
  - {group: "", kind: Service, name: many, port: 80}
  - {group: "", kind: Service, name: many, port: 8080}
  rules: [{matches: [{path: {value: /a}}], backendRefs: [{name: v1, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: by-name, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: many, sectionName: metrics}]
  rules: [{matches: [{path: {value: /a}}], backendRefs: [{name: v2, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: whole, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: whole}]
  rules: [{backendRefs: [{name: v3, port: 80}]}]
`)
	many, whole := s.Service("shop", "many"), s.Service("shop", "whole")
	for _, c := range []call{
		{send: "GET :80/a", want: "v1"},
		{send: "GET :80/b", want: "404"},
		{send: "GET :8080/a", want: "v1"},
		{send: "GET :8080/b", want: "404"},
		{send: "GET :9090/a", want: "v2"},
		{send: "GET :9090/b", want: "404"},
		{send: "GET :9091/a", want: "own"},
		{send: "GET :9091/b", want: "own"},
	} {
		s.call(t, many, c)
	}
	s.call(t, whole, call{send: "GET :80/", want: "v3"})
	s.call(t, whole, call{send: "GET :8080/", want: "v3"})
}

// A route in another namespace than the Service's holds for the callers of its own
// namespace, and replaces the producer's there; callers elsewhere see the producer's
// rules, or none (GEP-1294).
func TestConsumerRoutesHoldForTheirNamespace(t *testing.T) {
	s := newShop(t)
	consumer := func(name, service, backend string) string {
		return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ` + name + `, namespace: office}
spec:
  parentRefs: [{group: "", kind: Service, name: ` + service + `, namespace: shop}]
  rules:
  - matches: [{path: {value: /a}}]
    backendRefs: [{name: ` + backend + `, namespace: shop, port: 80}]
`
	}
	s.Apply("consumers", join(
		service("with-rules", "own"),
		route("producer", "with-rules", "- backendRefs: [{name: v1, port: 80}]"),
		consumer("consumer", "with-rules", "v2"),
		service("without", "own"),
		consumer("only-consumer", "without", "v3"),
		service("produced", "own"),
		route("produced", "produced", "- backendRefs: [{name: v1, port: 80}]"),
	))
	office := s.Pod(podSpec("office", "desk"))
	other := s.Pod(podSpec("other", "someone"))
	withRules, without, produced := s.Service("shop", "with-rules"), s.Service("shop", "without"), s.Service("shop", "produced")

	from := func(pod *meshtest.Pod) *shop { copied := *s; copied.web = pod; return &copied }
	for _, c := range []struct {
		from *meshtest.Pod
		call
		to string
	}{
		{s.web, call{send: "GET /a", want: "v1"}, "with-rules"},
		{other, call{send: "GET /a", want: "v1"}, "with-rules"},
		{office, call{send: "GET /a", want: "v2"}, "with-rules"},
		{office, call{send: "GET /b", want: "404"}, "with-rules"}, // replaced, not added to
		{s.web, call{send: "GET /b", want: "v1"}, "with-rules"},
		{s.web, call{send: "GET /a", want: "own"}, "without"},
		{other, call{send: "GET /a", want: "own"}, "without"},
		{office, call{send: "GET /a", want: "v3"}, "without"},
		{office, call{send: "GET /b", want: "404"}, "without"},
		{office, call{send: "GET /b", want: "v1"}, "produced"},
	} {
		address := withRules
		switch c.to {
		case "without":
			address = without
		case "produced":
			address = produced
		}
		t.Run(c.from.Spec.Namespace+"-to-"+c.to, func(t *testing.T) { from(c.from).call(t, address, c.call) })
	}

	// Without the consumer route the producer's holds again, for the namespace too.
	s.Apply("consumers", join(
		service("with-rules", "own"),
		route("producer", "with-rules", "- backendRefs: [{name: v1, port: 80}]"),
		service("without", "own"),
	))
	s.Eventually("the producer's rules for the consumer", func() error {
		return answeredBy(office, withRules.String()+"/b", "v1")
	})
	s.Eventually("no rules for the consumer", func() error {
		return answeredBy(office, without.String()+"/b", "own")
	})
}
