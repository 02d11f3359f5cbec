package policy

import "cmp"

// rank is the precedence of a match, its parts compared one after the other; the
// greater one goes first. What is still equal is decided by the order of routes
// (oldest first, then namespace/name), of rules and of matches.
//
// HTTPRoute (HTTPRouteRule.matches): class and length of the path, method, number
// of headers, number of query parameters. An exact path goes before a regular
// expression, and that before a prefix: the API leaves the middle one to us.
//
// GRPCRoute (GRPCRouteRule.matches): class and length of the service, class and
// length of the method, number of headers. The classes keep regular expressions,
// whose length says little, behind exact names.
type rank [5]int

// The classes of a path, service or method match. 0 is none.
const (
	classPrefix = iota + 1
	classRegex
	classExact
)

// compare is negative if r goes before s.
func (r rank) compare(s rank) int {
	for i := range r {
		if c := cmp.Compare(s[i], r[i]); c != 0 {
			return c
		}
	}
	return 0
}
