package policy

import (
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// Outbound is how callers from one namespace reach one port of a Service. It
// holds everything that the routes say, with all defaults of the Gateway API
// filled in; nobody needs to look at a route again.
type Outbound struct {
	Service mesh.Name
	Port    uint16
	// Rules in order of precedence; the first whose Match fits decides. A request
	// that fits none gets a 404 (GEP-1294). Empty: the port has no rules for these
	// callers, and calls go to the Service's own endpoints.
	Rules []Rule
}

// Rule is one match of one rule of a route, and what to do with a request that fits.
//
// Where a request is said to get a 500, a gRPC request (Match.GRPC) gets the
// status UNAVAILABLE (Gateway API, GRPCRouteRule.backendRefs).
type Rule struct {
	// From says which object this came from.
	From  RuleSource
	Match Match
	// Invalid says, if not empty, why every request that fits gets a 500: the rule
	// asks for something that is not understood. It has no Redirect and no Backends,
	// and Match may then fit more than the route wrote: a condition that cannot be
	// understood is left out, so that no request which the rule meant falls through
	// to a wider one.
	Invalid string
	// Redirect, if set, answers the request; there are no Backends then.
	Redirect *Redirect
	// Filters apply to every backend of the rule, before the backend's own: where
	// both set the same thing, the backend's holds.
	Filters Filters
	// Backends with a weight of 0 are left out. None left: requests get a 500
	// (Gateway API, HTTPRouteRule.backendRefs).
	Backends []Backend
	// InvalidWeight is the part of the weights that belongs to backends which do
	// not exist or may not be used: that share of the requests gets a 500.
	InvalidWeight uint32
	Timeouts      Timeouts
	// Retry is nil where the defaults hold (DefaultRetry). Attempts of 0 turns all
	// retries off, those of the defaults as well.
	Retry *Retry
}

// RuleSource names the match that a Rule came from.
type RuleSource struct {
	Kind  string // HTTPRoute or GRPCRoute
	Route mesh.Name
	Rule  int // index in spec.rules; 0 if there are none (the API's default rule)
	Match int // index in spec.rules[].matches; 0 if there are none
	// RuleName is spec.rules[].name, if any (GEP-995).
	RuleName string
}

// StringMatchKind is how a string is compared.
type StringMatchKind uint8

// The kinds of comparison. PathPrefix compares whole path elements: "/a" fits
// "/a", "/a/" and "/a/b", not "/ab"; its Value has no trailing slash, unless it
// is "/" and fits everything.
const (
	Exact StringMatchKind = iota + 1
	PathPrefix
	Regex // RE2, the whole string
)

// StringMatch compares a string.
type StringMatch struct {
	Kind  StringMatchKind
	Value string
}

// NamedMatch compares the value of a header or a query parameter. Header names
// are in lower case ("host" is the request's authority); names of query
// parameters are as written. A name occurs once in a list.
type NamedMatch struct {
	Name string
	StringMatch
}

// Match says which requests fit; all of its parts must.
type Match struct {
	// Path is nil if every path fits.
	Path *StringMatch
	// Method is empty if every method fits.
	Method  string
	Headers []NamedMatch
	Query   []NamedMatch
	// GRPC asks for a gRPC request (content-type); Path then carries service and
	// method.
	GRPC bool
}

// HeaderValue is a header to set or add; names are in lower case.
type HeaderValue struct{ Name, Value string }

// HeaderChange is a header modifier filter: remove, then set, then add. A name
// occurs once in all of it. "host" is never here: setting it is a Rewrite.
type HeaderChange struct {
	Set    []HeaderValue
	Add    []HeaderValue
	Remove []string
}

// Empty reports that there is nothing to change.
func (c *HeaderChange) Empty() bool {
	return c == nil || len(c.Set)+len(c.Add)+len(c.Remove) == 0
}

// Filters are the filters of a rule or of a backend, in the form that their
// order has no effect on.
type Filters struct {
	Request  *HeaderChange
	Response *HeaderChange
	Rewrite  *Rewrite
	Mirrors  []Mirror
	CORS     *CORS
}

// Rewrite changes host and path of a request. At most one of the paths is set.
type Rewrite struct {
	Host        string
	FullPath    *string
	PrefixMatch *string // replaces the prefix that Match.Path matched
}

// Redirect answers a request with a redirect. At most one of the paths is set.
type Redirect struct {
	Scheme string // "http" or "https"; "" keeps it
	Host   string // "" keeps it, without its port
	// Port that the Location points to, never 0: the filter's own, else the
	// scheme's, else the Service's (Gateway API, HTTPRequestRedirectFilter.port).
	Port uint16
	// ImpliedPort reports that Port is the scheme's own (http 80, https 443): the
	// Location should not show it.
	ImpliedPort bool
	FullPath    *string
	PrefixMatch *string // replaces the prefix that Match.Path matched
	Code        int     // 301, 302, 303, 307 or 308
}

// Mirror copies a share of the requests to a backend, whose answers are dropped.
type Mirror struct {
	Backend Target
	// Numerator / Denominator of the requests: 0 < Numerator <= Denominator.
	Numerator, Denominator uint32
}

// CORS is the Gateway API's CORS filter (GEP-1767). A "*" stands alone in its
// list, but for ExposeHeaders.
type CORS struct {
	// AllowOrigins are "*" or "<scheme>://<host>[:<port>]"; a "*" in the host stands
	// for any number of labels to its left.
	AllowOrigins     []string
	AllowCredentials bool
	AllowMethods     []string
	AllowHeaders     []string
	ExposeHeaders    []string
	MaxAge           time.Duration
}

// Target is a port of a Service.
type Target struct {
	Service mesh.Name
	Port    uint16
}

// Backend is a target and its share of the requests.
type Backend struct {
	Target
	Weight  uint32
	Filters Filters
}

// Timeouts of a rule. Zero is "no timeout", and so is nil: the mesh has no limit
// of its own.
type Timeouts struct {
	// Request bounds the whole request with its retries.
	Request *time.Duration
	// BackendRequest bounds one try.
	BackendRequest *time.Duration
}

// Retry says what is tried again (GEP-1731, as of Gateway API v1.7). What may
// have been processed is never retried, unless its status is among Codes; a try
// without an answer has the status that its caller would get: 504 if it ran out of
// time, else 503.
type Retry struct {
	// Attempts beyond the first.
	Attempts uint32
	// Codes are the HTTP status codes that are retried, sorted.
	Codes []uint32
	// Backoff is the base interval of the back-off between tries, which may be
	// jittered and grow; zero is the default.
	Backoff time.Duration
	// Unreached retries what surely never reached the app: it is safe for every
	// request, idempotent or not, and always on unless retries are off.
	Unreached bool
}
