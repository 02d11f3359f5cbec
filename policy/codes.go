package policy

// CodeInfo describes one code of a Finding, for the documentation and for
// `fairlead lint --explain`.
type CodeInfo struct {
	Code     string
	Severity Severity
	// Title is a few words; Doc says what is wrong and what to do, in whole sentences.
	Title string
	Doc   string
}

// The codes. They are stable: one that is no longer needed is left out and never
// given to something else.
const (
	codeParentMissing       = "FL0201"
	codeParentUnroutable    = "FL0202"
	codeParentPort          = "FL0203"
	codeConflicted          = "FL0204"
	codeNoServiceParent     = "FL0205"
	codeParentGroup         = "FL0206"
	codeBackendPort         = "FL0207"
	codeBackendMissing      = "FL0208"
	codeBackendKind         = "FL0209"
	codeBackendExternalName = "FL0210"
	codeBackendProtocol     = "FL0211"
	codeBackendNoPort       = "FL0212"
	codeWeight              = "FL0213"
	codeWeightsZero         = "FL0214"
	codeNoBackends          = "FL0215"
	codeMatchType           = "FL0220"
	codeRegex               = "FL0221"
	codePathValue           = "FL0222"
	codeMethod              = "FL0223"
	codeNamedMatch          = "FL0224"
	codeGRPCMethod          = "FL0225"
	codeNameRepeated        = "FL0226"
	codeFilterUnsupported   = "FL0230"
	codeFilterIncomplete    = "FL0231"
	codeFiltersIncompatible = "FL0232"
	codeHeaderModifier      = "FL0233"
	codePathModifier        = "FL0234"
	codeRedirect            = "FL0235"
	codeMirror              = "FL0236"
	codeCORS                = "FL0237"
	codeHostname            = "FL0238"
	codeDuration            = "FL0240"
	codeBackendTimeout      = "FL0241"
	codeRetry               = "FL0242"
	codeSessionPersistence  = "FL0243"
	codeHostnamesIgnored    = "FL0250"
	codeRuleUnreachable     = "FL0251"
	codeRuleName            = "FL0252"
	codePortNotHTTP         = "FL0253"
	codeServerFirst         = "FL0260"
	codeProtocolContradicts = "FL0261"
	codeSelectsNothing      = "FL0262"
	codeNoSidecar           = "FL0263"
	codeEndpointUnknown     = "FL0264"
)

// Codes returns the table of all codes, in their order.
func Codes() []CodeInfo {
	return []CodeInfo{
		{codeParentMissing, Error, "Parent Service does not exist",
			"A parentRef names a Service that is not there, so the route applies to nothing. Create the Service or correct name and namespace; without a namespace the route's own is meant."},
		{codeParentUnroutable, Error, "Parent Service has no address of its own",
			"Rules are found by the address that is called. A headless Service is called by its pods' addresses and one of type ExternalName is outside the cluster, so neither can have routes (GEP-1294). Attach the route to a Service with a cluster IP."},
		{codeParentPort, Error, "parentRef selects no port",
			"parentRef.port or parentRef.sectionName (the name of a Service port) selects no port of the Service that the mesh can route. Name one that it has, or leave both out to mean every port. UDP and SCTP ports cannot have routes."},
		{codeConflicted, Error, "A GRPCRoute has the port",
			"An HTTPRoute and a GRPCRoute name the same port of a Service. Only one type of route can hold there, and GRPCRoute goes before HTTPRoute (GEP-1294). Give each route a port of its own by parentRef.port, or remove one."},
		{codeNoServiceParent, Info, "Route has no Service as a parent",
			"None of the route's parents is a Service, so the mesh leaves it to others: a Gateway's routes are the business of the Gateway."},
		{codeParentGroup, Error, "parentRef to a Service lacks its group",
			"A parentRef of kind Service without a group means gateway.networking.k8s.io/Service, which does not exist, so the route applies to nothing. Write group: \"\"."},
		{codeBackendPort, Error, "Backend has no such port",
			"A backendRef names a port that the Service does not have. Its share of the requests gets a 500. Use the number of a Service port, which is not the targetPort."},
		{codeBackendMissing, Error, "Backend does not exist",
			"A backendRef names a Service that is not there. Its share of the requests gets a 500. Create the Service, or correct name and namespace; without a namespace the route's own is meant."},
		{codeBackendKind, Error, "Kind of backend not supported",
			"A backendRef names something other than a core Service. Its share of the requests gets a 500. Refer to a Service."},
		{codeBackendExternalName, Error, "Backend is of type ExternalName",
			"A Service of type ExternalName can point anywhere and must not be a backend (GEP-1294, CVE-2021-25740). Its share of the requests gets a 500."},
		{codeBackendProtocol, Error, "Backend speaks another protocol",
			"The Service port says by protocol, appProtocol or name that it speaks something that this route cannot carry: UDP or SCTP, or TLS that the app makes itself. Its share of the requests gets a 500."},
		{codeBackendNoPort, Error, "Backend lacks a port",
			"A backendRef to a Service needs a port. Its share of the requests gets a 500."},
		{codeWeight, Error, "Weight out of range",
			"A weight is a number from 0 to 1000000. Requests that match the rule get a 500."},
		{codeWeightsZero, Warning, "All weights are 0",
			"No backend of the rule may get anything, so requests that match it get a 500. If that is not meant, give one of them a weight."},
		{codeNoBackends, Warning, "Rule has no backend",
			"A rule without backendRefs and without a redirect answers with a 500: it does not fall back to the parent Service. Name the backends."},
		{codeMatchType, Error, "Type of match unknown",
			"A match has a type that this version does not know. Requests that might be meant get a 500."},
		{codeRegex, Error, "Regular expression invalid",
			"Regular expressions are RE2 and match the whole string. This one cannot be parsed, so nobody knows which requests are meant: all that might be get a 500."},
		{codePathValue, Error, "Path invalid",
			"An Exact or PathPrefix path begins with / and holds no empty, . or .. element, no encoded slash, no # and no character that a path may not have. Requests that might be meant get a 500."},
		{codeMethod, Error, "HTTP method unknown",
			"A method is one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE and PATCH, in upper case. Requests that might be meant get a 500."},
		{codeNamedMatch, Error, "Header or query match invalid",
			"A header or query match has a name that no header can have, or an empty value. Requests that might be meant get a 500."},
		{codeGRPCMethod, Error, "gRPC method match invalid",
			"A gRPC method match needs a service, a method or both; an Exact one must be a name as it stands in a .proto file. Requests that might be meant get the status UNAVAILABLE."},
		{codeNameRepeated, Warning, "Name repeated",
			"A header or query parameter occurs twice in a list. The Gateway API demands that only the first counts. Remove the other."},
		{codeFilterUnsupported, Error, "Filter not supported",
			"The rule has a filter that this mesh cannot apply (ExtensionRef, ExternalAuth, one of a newer API, or one that is not allowed in this place). A filter is never skipped: requests that match the rule get a 500."},
		{codeFilterIncomplete, Error, "Filter incomplete",
			"The filter's type and its fields do not belong together: the field of that type is missing, or another one is set. Requests that match the rule get a 500."},
		{codeFiltersIncompatible, Error, "Filters exclude each other",
			"The rule has filters that cannot be combined: a redirect with a rewrite or with backends, or the same one twice. Requests that match the rule get a 500."},
		{codeHeaderModifier, Error, "Header modifier invalid",
			"A header modifier names a header that cannot be changed, gives a value that no header can have, or has two actions for one header. Requests that match the rule get a 500."},
		{codePathModifier, Error, "Path modifier invalid",
			"A path modifier is of an unknown type, lacks its value, or replaces a prefix in a rule that does not have exactly one match, of type PathPrefix. Requests that match the rule get a 500."},
		{codeRedirect, Error, "Redirect invalid",
			"A redirect has a scheme other than http and https, a status code other than 301, 302, 303, 307 and 308, or a port out of range. Requests that match the rule get a 500."},
		{codeMirror, Error, "Mirror's share invalid",
			"A mirror takes a percent from 0 to 100, or a fraction that is not above 1, not both. Requests that match the rule get a 500."},
		{codeCORS, Error, "CORS filter invalid",
			"A CORS filter has an origin, method, header or maxAge that is not valid, or a * beside other entries. Requests that match the rule get a 500."},
		{codeHostname, Error, "Hostname invalid",
			"A redirect or rewrite has a hostname that is no lower-case DNS name. Requests that match the rule get a 500."},
		{codeDuration, Error, "Duration malformed",
			"Durations are written as in GEP-2257: one to four groups of up to five digits and a unit (h, m, s, ms), as in 1h30m or 500ms. Requests that match the rule get a 500."},
		{codeBackendTimeout, Error, "backendRequest above request",
			"timeouts.backendRequest bounds one try and must not be longer than timeouts.request, which bounds them all. Requests that match the rule get a 500."},
		{codeRetry, Error, "Retry invalid",
			"retry.attempts must not be negative, and retry.codes are from 400 to 599. Requests that match the rule get a 500."},
		{codeSessionPersistence, Warning, "sessionPersistence ignored",
			"The field is deprecated and not supported. Requests are balanced as without it."},
		{codeHostnamesIgnored, Warning, "hostnames ignored",
			"A mesh finds rules by the Service's address and ignores spec.hostnames (GEP-1294): the route applies to every Host. To tell hosts apart, match the header Host."},
		{codeRuleUnreachable, Warning, "Rule never applies",
			"Every request that fits this match fits one that goes before it. Remove it, or make it more specific; the order of rules counts only among equals."},
		{codeRuleName, Error, "Rule name repeated",
			"Names of rules must be unique in a route. The API server refuses the object."},
		{codePortNotHTTP, Warning, "HTTP is not seen on this port",
			"The route has a port on which no HTTP can be seen: its app makes its own TLS, or the port is one on which the server speaks first. Its rules do not apply there."},
		{codeServerFirst, Warning, "Server speaks first on an unlisted port",
			"By its name, the server speaks first on this port, but its number is not in the list of such ports. Each connection then waits a second for the client. Add the number to the mesh's server-first ports."},
		{codeProtocolContradicts, Warning, "Port's name and appProtocol disagree",
			"The port is named after HTTP while its appProtocol says TCP, or the other way round. appProtocol counts. Correct one of them."},
		{codeSelectsNothing, Warning, "Selector selects nothing",
			"No pod and no workload's template has the labels that the Service selects, so it has no endpoints. Correct the selector or the labels."},
		{codeNoSidecar, Warning, "Selected pods have no sidecar",
			"Some pods behind the Service have no sidecar: calls to them are plaintext and nobody proves an identity. Have them injected, or take them out of the Service."},
		{codeEndpointUnknown, Warning, "Endpoint's pod is not there",
			"An EndpointSlice of the Service names a pod (targetRef) that does not exist or does not have the address. Nobody is sent there: that pod may have a sidecar, and must not be called in plaintext. Add the pod, correct targetRef or address, or leave targetRef out if the address is not a pod's."},
	}
}

// severityOf returns the severity that the table gives a code.
func severityOf(code string) Severity {
	for _, c := range Codes() {
		if c.Code == code {
			return c.Severity
		}
	}
	return Error
}
