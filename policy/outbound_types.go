package policy

import (
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// Outbound is how callers from one namespace reach one port of a Service.
type Outbound struct {
	Service mesh.Name
	Port    uint16
	// Rules in order of precedence; the first whose Match fits decides. A request
	// that fits none gets a 404 (GEP-1294). Empty: the port has no rules for these
	// callers, and calls go to the Service's own endpoints.
	Rules []Rule
}

// Rule is one match of one rule of a route, and what to do with a request that fits.
type Rule struct {
	// From says which object this came from.
	From  RuleSource
	Match Match
	// Redirect, if set, answers the request; there are no Backends then.
	Redirect *Redirect
	// Filters apply to every backend of the rule.
	Filters Filters
	// Backends with a weight of 0 are left out. None left: requests get a 500
	// (Gateway API, HTTPRouteRule.backendRefs).
	Backends []Backend
	// InvalidWeight is the part of the weights that belongs to backends which do
	// not exist or may not be used: that share of the requests gets a 500.
	InvalidWeight uint32
	Timeouts      Timeouts
	// Retry is nil where the defaults hold (DefaultRetry).
	Retry *Retry
}

// RuleSource names the match that a Rule came from.
type RuleSource struct {
	Kind  string // HTTPRoute or GRPCRoute
	Route mesh.Name
	Rule  int // index in spec.rules
	Match int // index in spec.rules[].matches
	// RuleName is spec.rules[].name, if any (GEP-995).
	RuleName string
}

// StringMatchKind is how a string is compared.
type StringMatchKind uint8

// The kinds of comparison. PathPrefix compares whole path elements.
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
// are in lower case.
type NamedMatch struct {
	Name string
	StringMatch
}

// Match says which requests fit; all of its parts must.
type Match struct {
	// Path is nil if every path fits.
	Path    *StringMatch
	Method  string
	Headers []NamedMatch
	Query   []NamedMatch
	// GRPC asks for a gRPC request (content-type); Path then carries service and
	// method.
	GRPC bool
}

// HeaderValue is a header to set or add; names are in lower case.
type HeaderValue struct{ Name, Value string }

// HeaderChange is a header modifier filter: remove, then set, then add.
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

// Redirect answers a request with a redirect.
type Redirect struct {
	Scheme      string // "" keeps it
	Host        string // "" keeps it
	Port        uint16 // 0: see Gateway API, HTTPRequestRedirectFilter.port
	FullPath    *string
	PrefixMatch *string
	Code        int // 301, 302, 303, 307 or 308
}

// Mirror copies a share of the requests to a backend, whose answers are dropped.
type Mirror struct {
	Backend Target
	// Numerator / Denominator of the requests.
	Numerator, Denominator uint32
}

// CORS is the Gateway API's CORS filter (GEP-1767).
type CORS struct {
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

// Timeouts of a rule. Nil is unset, zero is "no timeout".
type Timeouts struct {
	// Request bounds the whole request with its retries.
	Request *time.Duration
	// BackendRequest bounds one try.
	BackendRequest *time.Duration
}

// Retry says what is tried again.
type Retry struct {
	// Attempts beyond the first.
	Attempts uint32
	// Codes are the HTTP status codes that are retried.
	Codes []uint32
	// Backoff is the least time between two tries; zero is the default.
	Backoff time.Duration
	// Unreached retries what surely never reached the app: it is safe for every
	// request, idempotent or not, and always on unless retries are off.
	Unreached bool
}
