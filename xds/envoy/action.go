package envoy

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairlead/fairlead/policy"
)

// forward sends requests to backends; f are the filters that hold for all of
// them.
func (v *VirtualHost) forward(r *policy.Rule, f policy.Filters, backends []policy.Backend) *routev3.Route {
	a := &routev3.RouteAction{Timeout: lasting(0)}
	if t := r.Timeouts.Request; t != nil && *t > 0 {
		a.Timeout = lasting(*t)
	}
	retry := r.Retry
	if retry == nil {
		retry = v.Retry
	}
	a.RetryPolicy = retryPolicy(retry, r.Timeouts.BackendRequest)
	if v.Affinity {
		a.HashPolicy = hashBySource()
	}
	for _, m := range f.Mirrors {
		a.RequestMirrorPolicies = append(a.RequestMirrorPolicies, mirror(m))
	}
	plain := !slices.ContainsFunc(backends, hasFilters)
	if f.Rewrite != nil {
		rewrite(a, r.Match.Path, f.Rewrite, plain)
	}
	route := &routev3.Route{Action: &routev3.Route_Route{Route: a}}
	if plain {
		setHeaders(route, f)
	}
	if plain && len(backends) == 1 {
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: backend(backends[0].Target)}
	} else {
		a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted(f, backends, plain)}
	}
	if f.CORS != nil {
		route.TypedPerFilterConfig = map[string]*anypb.Any{filterCORS: pack(cors(f.CORS))}
	}
	return route
}

// hasFilters reports that a backend has filters which a weighted cluster holds.
func hasFilters(b policy.Backend) bool {
	f := b.Filters
	return !f.Request.Empty() || !f.Response.Empty() || f.CORS != nil || f.Rewrite != nil && f.Rewrite.Host != ""
}

// weighted splits requests among backends. Envoy applies what a weighted cluster
// holds before what its route holds, so that the route would have the last word:
// unless all backends are plain, what the rule says of headers and host stands
// with each of them instead, where the backend's own can go after it.
func weighted(rule policy.Filters, backends []policy.Backend, plain bool) *routev3.WeightedCluster {
	w := &routev3.WeightedCluster{}
	for _, b := range backends {
		if b.Weight == 0 {
			continue
		}
		c := &routev3.WeightedCluster_ClusterWeight{Name: backend(b.Target), Weight: number(b.Weight)}
		if !plain {
			c.RequestHeadersToAdd, c.RequestHeadersToRemove = headerChange(afterwards(rule.Request, b.Filters.Request))
			c.ResponseHeadersToAdd, c.ResponseHeadersToRemove = headerChange(afterwards(rule.Response, b.Filters.Response))
			if host := cmp.Or(hostOf(b.Filters.Rewrite), hostOf(rule.Rewrite)); host != "" {
				c.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: host}
			}
		}
		if b.Filters.CORS != nil {
			c.TypedPerFilterConfig = map[string]*anypb.Any{filterCORS: pack(cors(b.Filters.CORS))}
		}
		w.Clusters = append(w.Clusters, c)
	}
	return w
}

func hostOf(r *policy.Rewrite) string {
	if r == nil {
		return ""
	}
	return r.Host
}

// afterwards is the change of first and then second: what second sets or removes
// leaves nothing of what first did to that header.
func afterwards(first, second *policy.HeaderChange) *policy.HeaderChange {
	switch {
	case first.Empty():
		return second
	case second.Empty():
		return first
	}
	overridden := map[string]bool{}
	for _, h := range second.Set {
		overridden[h.Name] = true
	}
	for _, name := range second.Remove {
		overridden[name] = true
	}
	kept := func(list []policy.HeaderValue) []policy.HeaderValue {
		return slices.DeleteFunc(slices.Clone(list), func(h policy.HeaderValue) bool { return overridden[h.Name] })
	}
	return &policy.HeaderChange{
		Set: append(kept(first.Set), second.Set...),
		Add: append(kept(first.Add), second.Add...),
		Remove: append(slices.DeleteFunc(slices.Clone(first.Remove), func(name string) bool { return overridden[name] }),
			second.Remove...),
	}
}

func setHeaders(route *routev3.Route, f policy.Filters) {
	route.RequestHeadersToAdd, route.RequestHeadersToRemove = headerChange(f.Request)
	route.ResponseHeadersToAdd, route.ResponseHeadersToRemove = headerChange(f.Response)
}

// headerChange writes a header modifier. Envoy removes first and adds after that,
// as the Gateway API wants.
func headerChange(c *policy.HeaderChange) (add []*corev3.HeaderValueOption, remove []string) {
	if c.Empty() {
		return nil, nil
	}
	// A "%" starts a command of Envoy's own.
	literal := func(v string) string { return strings.ReplaceAll(v, "%", "%%") }
	for _, h := range c.Set {
		add = append(add, header(h.Name, literal(h.Value), corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
	}
	for _, h := range c.Add {
		add = append(add, header(h.Name, literal(h.Value), corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	return add, c.Remove
}

func mirror(m policy.Mirror) *routev3.RouteAction_RequestMirrorPolicy {
	p := &routev3.RouteAction_RequestMirrorPolicy{
		Cluster: backend(m.Backend),
		// The mirror's app is to see what the backend's sees.
		DisableShadowHostSuffixAppend: true,
	}
	if m.Numerator < m.Denominator {
		p.RuntimeFraction = fraction(uint64(m.Numerator), uint64(m.Denominator))
	}
	return p
}

// rewrite writes a rewrite to a route; withHost is false where weighted clusters
// hold the host.
func rewrite(a *routev3.RouteAction, matched *policy.StringMatch, w *policy.Rewrite, withHost bool) {
	if w.Host != "" && withHost {
		a.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: w.Host}
	}
	switch {
	case w.FullPath != nil:
		a.PathRewrite = strings.ReplaceAll(fullPath(*w.FullPath), "%", "%%")
	case w.PrefixMatch != nil:
		a.PrefixRewrite, a.RegexRewrite = prefixRewrite(matched, *w.PrefixMatch)
	}
}

func fullPath(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

// prefixRewrite replaces whole path elements (the table at HTTPPathModifier in
// the Gateway API). Envoy's own prefix_rewrite swaps text, so an empty prefix or
// replacement would lose or double a slash.
func prefixRewrite(matched *policy.StringMatch, with string) (string, *matcherv3.RegexMatchAndSubstitute) {
	if matched != nil && matched.Kind != policy.PathPrefix {
		return "", nil
	}
	prefix, with := prefixOf(matched), strings.TrimSuffix(with, "/")
	switch {
	case prefix != "" && with != "":
		return with, nil
	case prefix != "":
		return "", substitute("^"+regexp.QuoteMeta(prefix)+"/?", "/")
	case with != "":
		return "", substitute("^/", with+"/")
	default:
		return "", nil
	}
}

func substitute(pattern, with string) *matcherv3.RegexMatchAndSubstitute {
	return &matcherv3.RegexMatchAndSubstitute{
		Pattern:      regex(pattern),
		Substitution: strings.ReplaceAll(with, `\`, `\\`),
	}
}

// redirect answers with a Location. servicePort is that of the request.
func redirect(r *policy.Rule, servicePort uint16) *routev3.RedirectAction {
	in := r.Redirect
	out := &routev3.RedirectAction{HostRedirect: in.Host, ResponseCode: redirectCode(in.Code)}
	if in.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: in.Scheme}
	}
	// A port that the scheme implies is better not shown. With the Host kept, Envoy
	// drops only ":80", so any other has to be replaced.
	if !in.ImpliedPort || in.Host == "" && servicePort != 80 {
		out.PortRedirect = uint32(in.Port)
	}
	switch {
	case in.FullPath != nil:
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: fullPath(*in.FullPath)}
	case in.PrefixMatch != nil:
		if prefix, regex := prefixRewrite(r.Match.Path, *in.PrefixMatch); regex != nil {
			out.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: regex}
		} else if prefix != "" {
			out.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: prefix}
		}
	}
	return out
}

func redirectCode(code int) routev3.RedirectAction_RedirectResponseCode {
	switch code {
	case 301:
		return routev3.RedirectAction_MOVED_PERMANENTLY
	case 303:
		return routev3.RedirectAction_SEE_OTHER
	case 307:
		return routev3.RedirectAction_TEMPORARY_REDIRECT
	case 308:
		return routev3.RedirectAction_PERMANENT_REDIRECT
	default:
		return routev3.RedirectAction_FOUND
	}
}
