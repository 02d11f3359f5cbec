package policy

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// lintReach returns the matches that never decide anything at a Service, for any
// of its callers, as far as that can be proven.
func lintReach(v mesh.View, s *mesh.Service) []Finding {
	if len(v.Routes(s.Name)) == 0 {
		return nil
	}
	groups := append([]string{s.Name.Namespace}, ConsumerNamespaces(v, s.Name)...)
	sources := map[RuleSource]string{}
	for _, r := range v.Routes(s.Name) {
		sources[RuleSource{Kind: r.Kind(), Route: r.Name()}] = r.Source
	}
	var fs []Finding
	for _, p := range s.Ports {
		for _, namespace := range groups {
			for _, u := range unreachable(ForService(v, namespace, s.Name, p.Number).Rules) {
				fs = append(fs, u.finding(sources))
			}
		}
	}
	return fs
}

// hidden is a rule that never applies, and the one that goes before it.
type hidden struct{ rule, by *Rule }

func (h hidden) finding(sources map[RuleSource]string) Finding {
	from, by := h.rule.From, h.by.From
	before := fmt.Sprintf("spec.rules[%d].matches[%d]", by.Rule, by.Match)
	if from.Route != by.Route {
		before += fmt.Sprintf(" of %s %s", by.Kind, by.Route)
	}
	return Finding{
		Code: codeRuleUnreachable, Severity: severityOf(codeRuleUnreachable),
		Kind: from.Kind, Object: from.Route,
		Field:   fmt.Sprintf("spec.rules[%d].matches[%d]", from.Rule, from.Match),
		Message: "every request that fits goes to " + before,
		Fix:     "remove it, or make it more specific",
		Source:  sources[RuleSource{Kind: from.Kind, Route: from.Route}],
	}
}

// unreachable returns the rules that are behind one that covers them. Two matches
// of the same rule do the same, so it does not matter which decides.
func unreachable(rules []Rule) []hidden {
	var found []hidden
	for i := range rules {
		for j := range rules[:i] {
			a, b := rules[j].From, rules[i].From
			same := a.Kind == b.Kind && a.Route == b.Route && a.Rule == b.Rule
			if !same && covers(&rules[j].Match, &rules[i].Match) {
				found = append(found, hidden{rule: &rules[i], by: &rules[j]})
				break
			}
		}
	}
	return found
}

// covers reports whether every request that fits b surely fits a. False means that
// it could not be proven.
func covers(a, b *Match) bool {
	if a.GRPC && !b.GRPC || a.Method != "" && a.Method != b.Method {
		return false
	}
	return pathCovers(a.Path, b.Path) && namedCover(a.Headers, b.Headers) && namedCover(a.Query, b.Query)
}

func pathCovers(a, b *StringMatch) bool {
	switch {
	case a == nil || a.Kind == PathPrefix && a.Value == "/":
		return true
	case b == nil:
		return false
	case *a == *b:
		return true
	case a.Kind == PathPrefix:
		// A prefix without its last slash: "/a" covers "/a" and "/a/b".
		return b.Kind != Regex && (b.Value == a.Value || strings.HasPrefix(b.Value, a.Value+"/"))
	case a.Kind == Regex:
		return coversAll[a.Value] || b.Kind == Exact && wholeMatch(a.Value, b.Value)
	}
	return false
}

// coversAll are the usual ways to write a path expression that fits every path.
var coversAll = map[string]bool{".*": true, ".+": true, "/.*": true, "^.*": true, "^/.*": true, "^/.*$": true, "^.*$": true}

// namedCover reports whether all conditions of a are surely met where those of b are.
func namedCover(a, b []NamedMatch) bool {
	for _, want := range a {
		met := false
		for _, have := range b {
			met = met || have.Name == want.Name && (have == want ||
				want.Kind == Regex && have.Kind == Exact && wholeMatch(want.Value, have.Value))
		}
		if !met {
			return false
		}
	}
	return true
}

// wholeMatch reports whether an expression fits the whole of a string.
func wholeMatch(pattern, s string) bool {
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	return err == nil && re.MatchString(s)
}
