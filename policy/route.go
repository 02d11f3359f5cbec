package policy

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// ruleSpec is a rule of either type of route: what they share, in one form.
type ruleSpec struct {
	name               string
	httpMatches        []gatewayv1.HTTPRouteMatch
	grpcMatches        []gatewayv1.GRPCRouteMatch
	filters            []gatewayv1.HTTPRouteFilter
	backends           []backendRef
	timeouts           *gatewayv1.HTTPRouteTimeouts
	retry              *gatewayv1.HTTPRouteRetry
	sessionPersistence bool
}

// backendRef is a backendRef of either type of route.
type backendRef struct {
	object  gatewayv1.BackendObjectReference
	weight  *int32
	filters []gatewayv1.HTTPRouteFilter
}

// rulesOf returns the rules of a route. A route without any has the one that the
// API gives an HTTPRoute by default: it fits everything and has no backend.
func rulesOf(r *mesh.Route) []ruleSpec {
	var rules []ruleSpec
	if r.HTTP != nil {
		for i := range r.HTTP.Spec.Rules {
			rules = append(rules, httpRule(&r.HTTP.Spec.Rules[i]))
		}
	} else {
		for i := range r.GRPC.Spec.Rules {
			rules = append(rules, grpcRule(&r.GRPC.Spec.Rules[i]))
		}
	}
	if len(rules) == 0 {
		rules = []ruleSpec{{}}
	}
	return rules
}

func hostnamesOf(r *mesh.Route) []gatewayv1.Hostname {
	if r.HTTP != nil {
		return r.HTTP.Spec.Hostnames
	}
	return r.GRPC.Spec.Hostnames
}

func httpRule(r *gatewayv1.HTTPRouteRule) ruleSpec {
	spec := ruleSpec{
		name: ruleName(r.Name), httpMatches: r.Matches, filters: r.Filters,
		timeouts: r.Timeouts, retry: r.Retry,
		//lint:ignore SA1019 whoever still sets it is to be told that it has no effect
		sessionPersistence: r.SessionPersistence != nil,
	}
	for i := range r.BackendRefs {
		b := &r.BackendRefs[i]
		spec.backends = append(spec.backends, backendRef{object: b.BackendObjectReference, weight: b.Weight, filters: b.Filters})
	}
	return spec
}

func grpcRule(r *gatewayv1.GRPCRouteRule) ruleSpec {
	spec := ruleSpec{
		name: ruleName(r.Name), grpcMatches: r.Matches, filters: grpcFilters(r.Filters),
		//lint:ignore SA1019 whoever still sets it is to be told that it has no effect
		sessionPersistence: r.SessionPersistence != nil,
	}
	for i := range r.BackendRefs {
		b := &r.BackendRefs[i]
		spec.backends = append(spec.backends, backendRef{object: b.BackendObjectReference, weight: b.Weight, filters: grpcFilters(b.Filters)})
	}
	return spec
}

// grpcFilters writes the filters of a GRPCRoute as those of an HTTPRoute, of which
// they are a part. A type that only an HTTPRoute has is refused by filterScope.
func grpcFilters(filters []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	var same []gatewayv1.HTTPRouteFilter
	for _, f := range filters {
		same = append(same, gatewayv1.HTTPRouteFilter{
			Type:                   gatewayv1.HTTPRouteFilterType(f.Type),
			RequestHeaderModifier:  f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier,
			RequestMirror:          f.RequestMirror,
			ExtensionRef:           f.ExtensionRef,
		})
	}
	return same
}

func ruleName(name *gatewayv1.SectionName) string {
	if name == nil {
		return ""
	}
	return string(*name)
}
