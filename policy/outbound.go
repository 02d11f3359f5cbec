package policy

import (
	"slices"

	"github.com/fairlead/fairlead/mesh"
)

// ForService returns the rules that callers in clientNamespace have for one port
// of a Service: those of all routes in force there (see inForce), each match a
// rule of its own, sorted by precedence. No rules, and no lookups but of the
// Service and its routes, if no route is attached to the port.
//
// The result shares memory with the routes and between its rules: it must not be
// modified.
func ForService(v mesh.View, clientNamespace string, service mesh.Name, port uint16) Outbound {
	out := Outbound{Service: service, Port: port}
	s := v.Service(service)
	if s == nil {
		return out
	}
	var entries []entry
	for _, r := range inForce(v.Routes(service), s, port, clientNamespace) {
		entries = append(entries, entriesOf(compile(v, r))...)
	}
	// Entries are in the order of routes, rules and matches: a stable sort keeps it
	// among equals.
	slices.SortStableFunc(entries, func(a, b entry) int { return a.match().rank.compare(b.match().rank) })
	if len(entries) > 0 {
		out.Rules = make([]Rule, len(entries))
	}
	for i, e := range entries {
		out.Rules[i] = e.instantiate(port)
	}
	return out
}

// HasRules reports whether a route is in force for callers in clientNamespace on
// that port of the Service: whether ForService would return any rules. It looks up
// nothing but the Service and its routes.
func HasRules(v mesh.View, clientNamespace string, service mesh.Name, port uint16) bool {
	s := v.Service(service)
	return s != nil && len(inForce(v.Routes(service), s, port, clientNamespace)) > 0
}

// ConsumerNamespaces returns the namespaces whose callers have consumer routes of
// their own to the Service, sorted. Callers from all others share the producer
// routes' rules.
func ConsumerNamespaces(v mesh.View, service mesh.Name) []string {
	var namespaces []string
	for _, r := range v.Routes(service) {
		if ns := r.Meta().Namespace; ns != service.Namespace {
			namespaces = append(namespaces, ns)
		}
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}

// entry is one match of one rule, to be sorted.
type entry struct {
	rule  *compiledRule
	index int
}

func entriesOf(c compiled) []entry {
	var entries []entry
	for i := range c.rules {
		for m := range c.rules[i].matches {
			entries = append(entries, entry{&c.rules[i], m})
		}
	}
	return entries
}

func (e entry) match() *compiledMatch { return &e.rule.matches[e.index] }

// instantiate returns the Rule as it holds on that port of the parent Service.
func (e entry) instantiate(port uint16) Rule {
	rule := e.rule.rule
	rule.From.Match = e.index
	rule.Match = e.match().Match
	rule.Redirect = rule.Redirect.at(port)
	return rule
}
