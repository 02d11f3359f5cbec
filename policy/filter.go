package policy

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// filterScope is where a list of filters stands, which decides what it may hold.
type filterScope struct {
	grpc      bool // in a GRPCRoute
	backend   bool // in a backendRef, not in the rule
	onePrefix bool // the rule has exactly one match, a path prefix
}

func (s filterScope) ofBackend() filterScope {
	s.backend = true
	return s
}

// allows reports whether a filter of that type may stand there, else why not.
func (s filterScope) allows(t gatewayv1.HTTPRouteFilterType) (string, bool) {
	switch t {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier,
		gatewayv1.HTTPRouteFilterResponseHeaderModifier,
		gatewayv1.HTTPRouteFilterRequestMirror:
		return "", true
	case gatewayv1.HTTPRouteFilterURLRewrite, gatewayv1.HTTPRouteFilterCORS:
		return "is not a filter of GRPCRoutes", !s.grpc
	case gatewayv1.HTTPRouteFilterRequestRedirect:
		if s.grpc {
			return "is not a filter of GRPCRoutes", false
		}
		return "is supported in a rule only: a backend that answers by itself gets no request", !s.backend
	}
	return "is not supported by this mesh", false
}

// filterSet is what a list of filters comes to.
type filterSet struct {
	Filters
	redirect *Redirect
}

// compileFilters reads the filters of a rule or of a backend. A filter that cannot
// be applied is never skipped: it invalidates its rule (HTTPRouteFilter.type).
func compileFilters(v mesh.View, namespace string, specs []gatewayv1.HTTPRouteFilter, scope filterScope) (Filters, *Redirect, problems) {
	var set filterSet
	var ps problems
	seen := make(map[gatewayv1.HTTPRouteFilterType]bool, len(specs))
	for i := range specs {
		f := &specs[i]
		more := checkFilter(f, scope)
		if seen[f.Type] && f.Type != gatewayv1.HTTPRouteFilterRequestMirror && len(more) == 0 {
			more = incompatible("type", "merge them into one", "there is a %s filter already", f.Type)
		}
		seen[f.Type] = true
		if len(more) == 0 {
			more = set.add(v, namespace, f, scope)
		}
		ps = append(ps, more.inItem("filters", i)...)
	}
	if seen[gatewayv1.HTTPRouteFilterRequestRedirect] && seen[gatewayv1.HTTPRouteFilterURLRewrite] {
		ps = append(ps, incompatible("filters", "remove one of them", "RequestRedirect and URLRewrite cannot be combined")...)
	}
	ps = append(ps, set.hostHeader()...)
	return set.Filters, set.redirect, ps
}

// checkFilter checks that a filter is supported where it stands, and that it has
// the field of its type and no other.
func checkFilter(f *gatewayv1.HTTPRouteFilter, scope filterScope) problems {
	if why, ok := scope.allows(f.Type); !ok {
		return refuse(codeFilterUnsupported, "type", "remove the filter", "%q %s", f.Type, why)
	}
	fields := []struct {
		name string
		kind gatewayv1.HTTPRouteFilterType
		set  bool
	}{
		{"requestHeaderModifier", gatewayv1.HTTPRouteFilterRequestHeaderModifier, f.RequestHeaderModifier != nil},
		{"responseHeaderModifier", gatewayv1.HTTPRouteFilterResponseHeaderModifier, f.ResponseHeaderModifier != nil},
		{"requestMirror", gatewayv1.HTTPRouteFilterRequestMirror, f.RequestMirror != nil},
		{"requestRedirect", gatewayv1.HTTPRouteFilterRequestRedirect, f.RequestRedirect != nil},
		{"urlRewrite", gatewayv1.HTTPRouteFilterURLRewrite, f.URLRewrite != nil},
		{"cors", gatewayv1.HTTPRouteFilterCORS, f.CORS != nil},
		{"externalAuth", gatewayv1.HTTPRouteFilterExternalAuth, f.ExternalAuth != nil},
		{"extensionRef", gatewayv1.HTTPRouteFilterExtensionRef, f.ExtensionRef != nil},
	}
	var ps problems
	for _, field := range fields {
		switch {
		case field.kind == f.Type && !field.set:
			ps = append(ps, refuse(codeFilterIncomplete, field.name, "add it", "a filter of type %s needs it", f.Type)...)
		case field.kind != f.Type && field.set:
			ps = append(ps, refuse(codeFilterIncomplete, field.name, "remove it", "it does not belong to a filter of type %s", f.Type)...)
		}
	}
	return ps
}

// add puts a filter that checkFilter has passed into the set.
func (s *filterSet) add(v mesh.View, namespace string, f *gatewayv1.HTTPRouteFilter, scope filterScope) (ps problems) {
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
		s.Request, ps = compileHeaderChange(f.RequestHeaderModifier, true)
		return ps.in("requestHeaderModifier")
	case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
		s.Response, ps = compileHeaderChange(f.ResponseHeaderModifier, false)
		return ps.in("responseHeaderModifier")
	case gatewayv1.HTTPRouteFilterRequestMirror:
		mirror, ps := compileMirror(v, namespace, f.RequestMirror)
		if mirror != nil {
			s.Mirrors = append(s.Mirrors, *mirror)
		}
		return ps.in("requestMirror")
	case gatewayv1.HTTPRouteFilterRequestRedirect:
		s.redirect, ps = compileRedirect(f.RequestRedirect, scope)
		return ps.in("requestRedirect")
	case gatewayv1.HTTPRouteFilterURLRewrite:
		s.Rewrite, ps = compileRewrite(f.URLRewrite, scope)
		return ps.in("urlRewrite")
	case gatewayv1.HTTPRouteFilterCORS:
		s.CORS, ps = compileCORS(f.CORS)
		return ps.in("cors")
	}
	return nil
}

// hostHeader turns a header modifier that sets Host into what it means, a rewrite
// of the request's authority.
func (s *filterSet) hostHeader() problems {
	if s.Request == nil {
		return nil
	}
	for i, h := range s.Request.Set {
		if h.Name != "host" {
			continue
		}
		rest := append([]HeaderValue{}, s.Request.Set[:i]...)
		s.Request.Set = append(rest, s.Request.Set[i+1:]...)
		if s.Request.Empty() {
			s.Request = nil
		}
		switch {
		case s.Rewrite == nil:
			s.Rewrite = &Rewrite{Host: h.Value}
		case s.Rewrite.Host == "":
			s.Rewrite.Host = h.Value
		default:
			return incompatible("filters", "keep one of them", "both a URLRewrite and a RequestHeaderModifier set the host")
		}
		return nil
	}
	return nil
}
