package policy

import (
	"regexp"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func compileGRPCMatch(m *gatewayv1.GRPCRouteMatch) (compiledMatch, problems) {
	path, rank, ps := compileGRPCMethod(m.Method)
	headers, headerCount, more := compileNamed("headers", grpcHeaders(m.Headers), true)
	rank[4] = headerCount
	return compiledMatch{
		Match: Match{GRPC: true, Path: path, Headers: headers},
		rank:  rank,
	}, append(ps, more...)
}

// The names that the API allows in an Exact match.
var (
	grpcService = regexp.MustCompile(`^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$`)
	grpcMethod  = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)
)

// compileGRPCMethod writes service and method as the path that a gRPC request has:
// "/<service>/<method>". The first four parts of the rank are its own.
func compileGRPCMethod(m *gatewayv1.GRPCMethodMatch) (*StringMatch, rank, problems) {
	if m == nil {
		return nil, rank{}, nil
	}
	service, method := text(m.Service), text(m.Method)
	class := classExact
	var path StringMatch
	var ps problems
	switch kind := text(m.Type); kind {
	case "", string(gatewayv1.GRPCMethodMatchExact):
		path, ps = exactGRPC(service, method)
	case string(gatewayv1.GRPCMethodMatchRegularExpression):
		class = classRegex
		path, ps = regexGRPC(service, method)
	default:
		class = classRegex
		ps = refuse(codeMatchType, "type", "use Exact or RegularExpression", "%q is not known", kind)
	}
	if service == "" && method == "" {
		ps = append(ps, refuse(codeGRPCMethod, "", "leave method out to match every request", "there is neither a service nor a method")...)
	}
	r := rank{classOf(service, class), len(service), classOf(method, class), len(method)}
	if len(ps) > 0 {
		return nil, r, ps.in("method")
	}
	return &path, r, nil
}

func classOf(value string, class int) int {
	if value == "" {
		return 0
	}
	return class
}

func exactGRPC(service, method string) (path StringMatch, ps problems) {
	if service != "" && !grpcService.MatchString(service) {
		ps = append(ps, refuse(codeGRPCMethod, "service", "write it as package.Service", "%q is not the name of a gRPC service", service)...)
	}
	if method != "" && !grpcMethod.MatchString(method) {
		ps = append(ps, refuse(codeGRPCMethod, "method", "write the method's name alone", "%q is not the name of a gRPC method", method)...)
	}
	switch {
	case service == "":
		path = StringMatch{Kind: Regex, Value: "/[^/]+/" + regexp.QuoteMeta(method)}
	case method == "":
		path = StringMatch{Kind: PathPrefix, Value: "/" + service}
	default:
		path = StringMatch{Kind: Exact, Value: "/" + service + "/" + method}
	}
	return path, ps
}

func regexGRPC(service, method string) (StringMatch, problems) {
	var ps problems
	part := func(field, pattern string) string {
		if pattern == "" {
			return "[^/]+"
		}
		ps = append(ps, checkRegex(field, pattern)...)
		return "(?:" + pattern + ")"
	}
	value := "/" + part("service", service) + "/" + part("method", method)
	return StringMatch{Kind: Regex, Value: value}, ps
}

func grpcHeaders(ms []gatewayv1.GRPCHeaderMatch) []namedSpec {
	var specs []namedSpec
	for _, m := range ms {
		specs = append(specs, namedSpec{kind: text(m.Type), name: string(m.Name), value: m.Value})
	}
	return specs
}
