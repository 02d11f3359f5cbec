package envoy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/fairlead/fairlead/policy"
)

// VirtualHost describes the rules of one address.
type VirtualHost struct {
	Address  netip.AddrPort
	Outbound policy.Outbound
	// Retry holds for rules that say nothing of retries.
	Retry *policy.Retry
	// Affinity says that a backend wants all calls of a pod at one endpoint.
	Affinity bool
}

// NewVirtualHost makes the virtual host of an address whose port has rules, nil
// if it has none. The rules are in their order; a request that fits none gets a
// 404 (GEP-1294).
func NewVirtualHost(v VirtualHost) *routev3.VirtualHost {
	if len(v.Outbound.Rules) == 0 {
		return nil
	}
	h := &routev3.VirtualHost{
		Name:    VirtualHostName(v.Address),
		Domains: []string{v.Address.String()},
	}
	for i := range v.Outbound.Rules {
		h.Routes = append(h.Routes, v.routes(&v.Outbound.Rules[i])...)
	}
	// A request without a route would make the on_demand filter ask for a virtual
	// host by its Host.
	text := "fairlead: no rule for Service " + v.Outbound.Service.String() + " port " + strconv.Itoa(int(v.Outbound.Port)) + " fits this request"
	h.Routes = append(h.Routes,
		&routev3.Route{Name: "no-rule", Match: anyPath(), Action: reply(404, text)},
		&routev3.Route{Name: "no-rule/connect", Match: connect(), Action: reply(404, text)},
	)
	return h
}

// Targets are the backends and mirrors of the rules, each once, in order.
func Targets(o policy.Outbound) []policy.Target {
	var list []policy.Target
	mirrors := func(f policy.Filters) {
		for _, m := range f.Mirrors {
			list = append(list, m.Backend)
		}
	}
	for _, r := range o.Rules {
		mirrors(r.Filters)
		for _, b := range r.Backends {
			list = append(list, b.Target)
			mirrors(b.Filters)
		}
	}
	slices.SortFunc(list, func(a, b policy.Target) int {
		return cmp.Or(a.Service.Compare(b.Service), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(list)
}

// routes writes one rule: most often as one route, as several where shares of
// the requests are treated differently.
func (v *VirtualHost) routes(r *policy.Rule) []*routev3.Route {
	var routes []*routev3.Route
	switch {
	case r.Invalid != "":
		routes = []*routev3.Route{{Action: failed(r, r.Invalid)}}
	case r.Redirect != nil:
		routes = []*routev3.Route{{Action: &routev3.Route_Redirect{Redirect: redirect(r, v.Outbound.Port)}}}
		setHeaders(routes[0], policy.Filters{Response: r.Filters.Response})
	case len(r.Backends) == 0:
		routes = []*routev3.Route{{Action: failed(r, "none of its backends can be used")}}
	default:
		routes = v.shares(r)
	}
	for i, route := range routes {
		route.Name = routeName(r.From, i)
		fraction := route.GetMatch().GetRuntimeFraction()
		route.Match = match(r.Match)
		route.Match.RuntimeFraction = fraction
		if err := route.Validate(); err != nil {
			routes[i] = unwritable(r, route.Name, err)
		}
	}
	return routes
}

// shares splits the requests of a rule among its backends. Envoy draws one
// random number for a request, so fractions of consecutive routes are cumulative.
func (v *VirtualHost) shares(r *policy.Rule) []*routev3.Route {
	total := uint64(r.InvalidWeight)
	for _, b := range r.Backends {
		total += uint64(b.Weight)
	}
	if total == uint64(r.InvalidWeight) {
		return []*routev3.Route{{Action: failed(r, "none of its backends has a weight")}}
	}
	var routes []*routev3.Route
	if r.InvalidWeight > 0 {
		routes = append(routes, &routev3.Route{
			Match:  &routev3.RouteMatch{RuntimeFraction: fraction(uint64(r.InvalidWeight), total)},
			Action: failed(r, "the backend of this share of the requests cannot be used"),
		})
	}
	if !slices.ContainsFunc(r.Backends, needsRoute) {
		return append(routes, v.forward(r, r.Filters, r.Backends))
	}
	upTo := uint64(r.InvalidWeight)
	for i, b := range r.Backends {
		if b.Weight == 0 {
			continue
		}
		upTo += uint64(b.Weight)
		route := v.forward(r, merged(r.Filters, b.Filters), r.Backends[i:i+1])
		if upTo < total {
			route.Match = &routev3.RouteMatch{RuntimeFraction: fraction(upTo, total)}
		}
		routes = append(routes, route)
	}
	return routes
}

// needsRoute reports filters that a weighted cluster cannot hold.
func needsRoute(b policy.Backend) bool {
	w := b.Filters.Rewrite
	return len(b.Filters.Mirrors) > 0 || w != nil && (w.FullPath != nil || w.PrefixMatch != nil)
}

// merged adds what a backend's filters have that only a route can hold.
func merged(rule, backend policy.Filters) policy.Filters {
	rule.Mirrors = slices.Concat(rule.Mirrors, backend.Mirrors)
	if w := backend.Rewrite; w != nil && (w.FullPath != nil || w.PrefixMatch != nil) {
		host := ""
		if rule.Rewrite != nil {
			host = rule.Rewrite.Host
		}
		rule.Rewrite = &policy.Rewrite{Host: cmp.Or(w.Host, host), FullPath: w.FullPath, PrefixMatch: w.PrefixMatch}
	}
	return rule
}

// failed answers every request of a rule. gRPC clients understand a 503 as
// UNAVAILABLE, which the Gateway API asks for.
func failed(r *policy.Rule, why string) *routev3.Route_DirectResponse {
	status := uint32(500)
	if r.Match.GRPC {
		status = 503
	}
	return reply(status, fmt.Sprintf("fairlead: %s %s, rule %d: %s", r.From.Kind, r.From.Route, r.From.Rule, why))
}

// unwritable stands for a rule that Envoy would refuse: its requests fail, and
// none of them falls through to a wider rule. Policy is to prevent it.
func unwritable(r *policy.Rule, name string, err error) *routev3.Route {
	return &routev3.Route{Name: name, Match: anyPath(), Action: failed(r, "cannot be written for Envoy: "+err.Error())}
}

func reply(status uint32, text string) *routev3.Route_DirectResponse {
	const limit = 1024 // Envoy takes 4096 bytes
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
		Status: status,
		Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text + "\n"}},
	}}
}

// routeName names the match that a route came from, in stats and access logs.
func routeName(s policy.RuleSource, share int) string {
	name := fmt.Sprintf("%s/%s/%d/%d", strings.ToLower(s.Kind), s.Route, s.Rule, s.Match)
	if share > 0 {
		name += "/" + strconv.Itoa(share)
	}
	return name
}

func fraction(part, of uint64) *corev3.RuntimeFractionalPercent {
	p := &typev3.FractionalPercent{Numerator: uint32(part * 1_000_000 / of), Denominator: typev3.FractionalPercent_MILLION}
	if of == 100 {
		p = &typev3.FractionalPercent{Numerator: uint32(part)}
	}
	return &corev3.RuntimeFractionalPercent{DefaultValue: p}
}
