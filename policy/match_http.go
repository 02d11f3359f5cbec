package policy

import (
	"regexp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func compileHTTPMatch(m *gatewayv1.HTTPRouteMatch) (compiledMatch, problems) {
	path, class, length, ps := compilePath(m.Path)
	method, more := compileMethod(m.Method)
	ps = append(ps, more...)
	headers, headerCount, more := compileNamed("headers", httpHeaders(m.Headers), true)
	ps = append(ps, more...)
	query, queryCount, more := compileNamed("queryParams", queryParams(m.QueryParams), false)
	ps = append(ps, more...)

	methodCount := 0
	if m.Method != nil {
		methodCount = 1
	}
	return compiledMatch{
		Match: Match{Path: path, Method: method, Headers: headers, Query: query},
		rank:  rank{class, length, methodCount, headerCount, queryCount},
	}, ps
}

// compilePath reads a path match, by default the prefix "/". A trailing slash of a
// prefix is ignored (PathMatchPathPrefix).
func compilePath(m *gatewayv1.HTTPPathMatch) (path *StringMatch, class, length int, ps problems) {
	kind, value := gatewayv1.PathMatchPathPrefix, "/"
	if m != nil && m.Type != nil && *m.Type != "" {
		kind = *m.Type
	}
	if m != nil && m.Value != nil {
		value = *m.Value
	}
	switch kind {
	case gatewayv1.PathMatchExact:
		ps = checkPath(value)
		path, class = &StringMatch{Kind: Exact, Value: value}, classExact
	case gatewayv1.PathMatchPathPrefix:
		ps = checkPath(value)
		if value != "/" {
			value = strings.TrimSuffix(value, "/")
		}
		path, class = &StringMatch{Kind: PathPrefix, Value: value}, classPrefix
	case gatewayv1.PathMatchRegularExpression:
		ps = checkRegex("value", value)
		path, class = &StringMatch{Kind: Regex, Value: value}, classRegex
	default:
		ps = refuse(codeMatchType, "type", "use Exact, PathPrefix or RegularExpression", "%q is not known", kind)
		class = classRegex
	}
	if len(ps) > 0 {
		path = nil
	}
	return path, class, len(value), ps.in("path")
}

// pathChars are the characters of a path that the API allows.
var pathChars = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$`)

// checkPath checks an Exact or PathPrefix path as the API's own validation does.
func checkPath(p string) problems {
	why := ""
	switch lower := strings.ToLower(p); {
	case !strings.HasPrefix(p, "/"):
		why = "does not begin with /"
	case strings.Contains(p, "//"):
		why = "holds //"
	case strings.Contains(p+"/", "/./"), strings.Contains(p+"/", "/../"):
		why = "holds a . or .. element"
	case strings.Contains(lower, "%2f"):
		why = "holds an encoded slash"
	case !pathChars.MatchString(p):
		why = "holds a character that a path may not have"
	}
	if why == "" {
		return nil
	}
	return refuse(codePathValue, "value", "", "the path %q %s", p, why)
}

func compileMethod(m *gatewayv1.HTTPMethod) (string, problems) {
	if m == nil {
		return "", nil
	}
	switch *m {
	case gatewayv1.HTTPMethodGet, gatewayv1.HTTPMethodHead, gatewayv1.HTTPMethodPost,
		gatewayv1.HTTPMethodPut, gatewayv1.HTTPMethodDelete, gatewayv1.HTTPMethodConnect,
		gatewayv1.HTTPMethodOptions, gatewayv1.HTTPMethodTrace, gatewayv1.HTTPMethodPatch:
		return string(*m), nil
	}
	return "", refuse(codeMethod, "method", "methods are in upper case", "%q is not known", *m)
}

func httpHeaders(ms []gatewayv1.HTTPHeaderMatch) []namedSpec {
	var specs []namedSpec
	for _, m := range ms {
		specs = append(specs, namedSpec{kind: text(m.Type), name: string(m.Name), value: m.Value})
	}
	return specs
}

func queryParams(ms []gatewayv1.HTTPQueryParamMatch) []namedSpec {
	var specs []namedSpec
	for _, m := range ms {
		specs = append(specs, namedSpec{kind: text(m.Type), name: string(m.Name), value: m.Value})
	}
	return specs
}

// onePrefix reports whether a rule has exactly one match and that is a path
// prefix: only then is it clear what ReplacePrefixMatch replaces
// (HTTPPathModifier.replacePrefixMatch). No match is the default one.
func onePrefix(spec *ruleSpec) bool {
	switch len(spec.httpMatches) {
	case 0:
		return len(spec.grpcMatches) == 0
	case 1:
		path := spec.httpMatches[0].Path
		return path == nil || path.Type == nil || *path.Type == "" || *path.Type == gatewayv1.PathMatchPathPrefix
	}
	return false
}
