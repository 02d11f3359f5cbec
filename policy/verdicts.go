package policy

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// Verdicts returns what the mesh thinks of a route under each of its parents that
// is a Service, in the order of spec.parentRefs. Other parents are the business of
// others. A parent that does not exist has a verdict as well: it tells a person
// more than silence does.
func Verdicts(v mesh.View, r *mesh.Route) []Verdict {
	c := compile(v, r)
	var verdicts []Verdict
	for i := range r.ParentRefs() {
		if verdict, ok := c.judge(v, i); ok {
			verdicts = append(verdicts, verdict)
		}
	}
	return verdicts
}

// judge makes the verdict for one parentRef; false if that is no Service.
func (c *compiled) judge(v mesh.View, index int) (Verdict, bool) {
	r := c.route
	ref := &r.ParentRefs()[index]
	parent, ok := mesh.ServiceParent(*ref, r.Meta().Namespace)
	if !ok {
		return Verdict{}, false
	}
	verdict := Verdict{Kind: r.Kind(), Route: r.Name(), Source: r.Source, Parent: parent, ParentIndex: index}
	if ref.Port != nil && *ref.Port > 0 && *ref.Port <= 65535 {
		verdict.Port = uint16(*ref.Port)
	}
	accepted := c.accepted(v, parent, index)
	verdict.Conditions = append(verdict.Conditions, accepted, c.resolvedRefs())
	if partial, ok := c.partiallyInvalid(); ok && accepted.Status {
		verdict.Conditions = append(verdict.Conditions, partial)
	}
	return verdict, true
}

// accepted makes the condition Accepted: is there a port to attach to, is it
// free of routes that go before, and is at least one rule valid.
func (c *compiled) accepted(v mesh.View, parent mesh.Name, index int) Condition {
	ref := &c.route.ParentRefs()[index]
	service := v.Service(parent)
	ports, ps := selectPorts(service, parent, ref)
	if len(ps) > 0 {
		return c.condition(Accepted, false, ReasonNoMatchingParent, ps.inItem("spec.parentRefs", index))
	}
	lost, ps := c.conflicts(v, service, ports)
	ps = ps.inItem("spec.parentRefs", index)
	if lost == len(ports) {
		return c.condition(Accepted, false, ReasonConflicted, ps)
	}
	if refused := c.refused(); refused != nil && len(c.invalidRules()) == len(c.rules) {
		return c.condition(Accepted, false, reasonOf(refused), refused)
	}
	condition := c.condition(Accepted, true, ReasonAccepted, ps)
	if condition.Message == "" {
		condition.Message = "the route is in force"
	} else {
		condition.Message = "the route is in force on some ports only. " + condition.Message
	}
	return condition
}

// conflicts returns on how many of the ports the route gives way to one of another
// type, and a problem for each.
func (c *compiled) conflicts(v mesh.View, service *mesh.Service, ports []uint16) (lost int, ps problems) {
	for _, port := range ports {
		winners := inForce(v.Routes(service.Name), service, port, c.route.Meta().Namespace)
		if len(winners) == 0 || isGRPC(winners[0]) == isGRPC(c.route) {
			continue
		}
		lost++
		ps = append(ps, refuse(codeConflicted, "", "give each route a port of its own, or remove one",
			"GRPCRoute %s has port %d of Service %s, and goes before an HTTPRoute", winners[0].Name(), port, service.Name)...)
	}
	return lost, ps
}

// resolvedRefs makes the condition ResolvedRefs.
func (c *compiled) resolvedRefs() Condition {
	ps := c.allProblems().only(unresolved)
	if len(ps) == 0 {
		return Condition{Type: ResolvedRefs, Status: true, Reason: ReasonResolvedRefs, Message: "all references lead somewhere"}
	}
	return c.condition(ResolvedRefs, false, ps[0].reason, ps)
}

// partiallyInvalid makes the condition PartiallyInvalid: false if all rules are
// valid, or none.
func (c *compiled) partiallyInvalid() (Condition, bool) {
	invalid := c.invalidRules()
	if len(invalid) == 0 || len(invalid) == len(c.rules) {
		return Condition{}, false
	}
	condition := c.condition(PartiallyInvalid, true, ReasonUnsupportedValue, c.refused())
	// The API wants the message to begin so (RouteConditionPartiallyInvalid).
	condition.Message = fmt.Sprintf("Dropped Rule %s: requests that match get a 500. %s", strings.Join(invalid, ", "), condition.Message)
	return condition, true
}

// invalidRules returns the indices of the rules that are dropped.
func (c *compiled) invalidRules() []string {
	var indices []string
	for i := range c.rules {
		if c.rules[i].invalid() {
			indices = append(indices, fmt.Sprint(i))
		}
	}
	return indices
}

func (c *compiled) refused() problems { return c.allProblems().only(refuses) }

// condition makes a condition that speaks of these problems.
func (c *compiled) condition(t ConditionType, status bool, reason string, ps problems) Condition {
	fs := sortFindings(ps.findings(c.route))
	return Condition{Type: t, Status: status, Reason: reason, Message: describe(fs), Findings: fs}
}

// reasonOf returns IncompatibleFilters if that is all that is wrong.
func reasonOf(ps problems) string {
	for _, p := range ps {
		if p.reason != ReasonIncompatibleFilters {
			return ReasonUnsupportedValue
		}
	}
	return ReasonIncompatibleFilters
}
