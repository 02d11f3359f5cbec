package envoy

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fairlead/fairlead/policy"
)

// match writes which requests fit.
func match(m policy.Match) *routev3.RouteMatch {
	out := path(m.Path)
	if m.Method == "CONNECT" && m.Path == nil { // has no path
		out = connect()
	} else if m.Method != "" {
		out.Headers = append(out.Headers, headerMatcher(":method", policy.StringMatch{Kind: policy.Exact, Value: m.Method}))
	}
	for _, h := range m.Headers {
		name := h.Name
		if name == "host" {
			name = ":authority"
		}
		out.Headers = append(out.Headers, headerMatcher(name, h.StringMatch))
	}
	for _, q := range m.Query {
		out.QueryParameters = append(out.QueryParameters, &routev3.QueryParameterMatcher{
			Name: q.Name,
			QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{
				StringMatch: stringMatcher(q.StringMatch),
			},
		})
	}
	if m.GRPC {
		out.Grpc = &routev3.RouteMatch_GrpcRouteMatchOptions{}
	}
	return out
}

func path(p *policy.StringMatch) *routev3.RouteMatch {
	switch {
	case p == nil:
		return anyPath()
	case p.Kind == policy.Exact:
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: p.Value}}
	case p.Kind == policy.Regex:
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: regex(p.Value)}}
	case prefixOf(p) == "":
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	default:
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: prefixOf(p)}}
	}
}

// prefixOf is the prefix without its trailing slash: "" for "/".
func prefixOf(p *policy.StringMatch) string {
	if p == nil {
		return ""
	}
	return strings.TrimSuffix(p.Value, "/")
}

func anyPath() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}}
}

func connect() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_ConnectMatcher_{ConnectMatcher: &routev3.RouteMatch_ConnectMatcher{}}}
}

func headerMatcher(name string, s policy.StringMatch) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name:                 name,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: stringMatcher(s)},
	}
}

func stringMatcher(s policy.StringMatch) *matcherv3.StringMatcher {
	if s.Kind == policy.Regex {
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(s.Value)}}
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s.Value}}
}

// regex is an RE2 that must match the whole string.
func regex(r string) *matcherv3.RegexMatcher { return &matcherv3.RegexMatcher{Regex: r} }
