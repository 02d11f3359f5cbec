package policy

import (
	"github.com/fairlead/fairlead/mesh"
)

// compiled is a route, read once: what its rules do, whichever parent they are
// attached to, and all that is wrong with them. ForService, Verdicts and Lint read
// routes by nothing else, so that they cannot disagree.
type compiled struct {
	route *mesh.Route
	rules []compiledRule
	// problems of the route itself; each rule has its own.
	problems problems
}

// compiledRule is one rule of a route.
type compiledRule struct {
	matches []compiledMatch // at least one
	// rule is what all the matches share: without From.Match and Match. The port of
	// its Redirect is 0 unless the filter says one.
	rule     Rule
	problems problems
}

// compiledMatch is one match of a rule. Its rank is that of what the route wrote,
// even where the Match had to be widened.
type compiledMatch struct {
	Match
	rank rank
}

// compile reads a route. It looks up nothing but the Services that the route
// refers to as backends.
func compile(v mesh.View, r *mesh.Route) compiled {
	c := compiled{route: r}
	names := map[string]int{}
	for i, spec := range rulesOf(r) {
		rule := compileRule(v, r, i, &spec)
		if first, ok := names[spec.name]; ok && spec.name != "" {
			c.problems = append(c.problems, warn(codeRuleName, "name", "give it another name", "rule %d has the name %q already", first, spec.name).inItem("spec.rules", i)...)
		} else {
			names[spec.name] = i
		}
		c.rules = append(c.rules, rule)
	}
	if hosts := hostnamesOf(r); len(hosts) > 0 {
		c.problems = append(c.problems, warn(codeHostnamesIgnored, "spec.hostnames", "match the header Host instead, or remove the field",
			"hostnames are ignored in a mesh: the route applies to every Host")...)
	}
	return c
}

// compileRule reads one rule: the stages of which it is made, in the order of its fields.
func compileRule(v mesh.View, r *mesh.Route, index int, spec *ruleSpec) compiledRule {
	namespace := r.Meta().Namespace
	scope := filterScope{grpc: r.GRPC != nil, onePrefix: onePrefix(spec)}

	matches, ps := compileMatches(r, spec)
	filters, redirect, more := compileFilters(v, namespace, spec.filters, scope)
	ps = append(ps, more...)
	backends, invalidWeight, more := compileBackends(v, namespace, spec.backends, scope)
	ps = append(ps, more...)
	timeouts, more := compileTimeouts(spec.timeouts)
	ps = append(ps, more...)
	retry, more := compileRetry(spec.retry)
	ps = append(ps, more...)
	ps = append(ps, checkRule(spec, redirect)...)

	rule := Rule{From: RuleSource{Kind: r.Kind(), Route: r.Name(), Rule: index, RuleName: spec.name}}
	ps = ps.inItem("spec.rules", index)
	if why := ps.refused(); why != "" {
		rule.Invalid = why
	} else {
		rule.Redirect, rule.Filters = redirect, filters
		rule.Backends, rule.InvalidWeight = backends, invalidWeight
		rule.Timeouts, rule.Retry = timeouts, retry
	}
	return compiledRule{matches: matches, rule: rule, problems: ps}
}

// checkRule checks what concerns several fields of a rule.
func checkRule(spec *ruleSpec, redirect *Redirect) problems {
	var ps problems
	switch {
	case redirect != nil && len(spec.backends) > 0:
		ps = append(ps, incompatible("filters", "remove the backendRefs or the redirect", "a rule with a RequestRedirect has no backends, as none would get a request")...)
	case redirect == nil && len(spec.backends) == 0:
		ps = append(ps, warn(codeNoBackends, "backendRefs", "name a backend", "there is none: every request gets a 500")...)
	}
	if spec.sessionPersistence {
		ps = append(ps, warn(codeSessionPersistence, "sessionPersistence", "remove it", "the field is deprecated, not supported and ignored")...)
	}
	return ps
}

// invalid reports whether the rule answers everything that fits it with a 500,
// because it asks for something that is not understood.
func (r *compiledRule) invalid() bool { return r.rule.Invalid != "" }

// allProblems returns the problems of the route and of its rules.
func (c *compiled) allProblems() problems {
	var ps problems
	for i := range c.rules {
		ps = append(ps, c.rules[i].problems...)
	}
	return append(ps, c.problems...)
}
