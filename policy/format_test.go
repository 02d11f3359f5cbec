package policy_test

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

// formatOutbounds writes the rules of all Service ports that have any, for callers
// in the Service's namespace and in those with consumer routes.
func formatOutbounds(store *mesh.Store) string {
	var w strings.Builder
	for _, s := range store.Services() {
		for _, p := range s.Ports {
			for _, ns := range append([]string{s.Name.Namespace}, policy.ConsumerNamespaces(store, s.Name)...) {
				out := policy.ForService(store, ns, s.Name, p.Number)
				if len(out.Rules) == 0 {
					continue
				}
				fmt.Fprintf(&w, "%s:%d", out.Service, out.Port)
				if ns != s.Name.Namespace {
					fmt.Fprintf(&w, " from %s", ns)
				}
				fmt.Fprintln(&w)
				for i := range out.Rules {
					formatRule(&w, &out.Rules[i])
				}
			}
		}
	}
	return w.String()
}

func formatRule(w *strings.Builder, r *policy.Rule) {
	fmt.Fprintf(w, "  %s %d.%d", r.From.Route.Name, r.From.Rule, r.From.Match)
	if r.From.RuleName != "" {
		fmt.Fprintf(w, " %q", r.From.RuleName)
	}
	fmt.Fprintf(w, ": %s\n", formatMatch(&r.Match))
	formatFilters(w, "    ", &r.Filters)
	formatTimes(w, r)
	failure := "500"
	if r.Match.GRPC {
		failure = "UNAVAILABLE"
	}
	switch {
	case r.Invalid != "":
		fmt.Fprintf(w, "    -> %s (invalid)\n", failure)
	case r.Redirect != nil:
		fmt.Fprintf(w, "    -> %s\n", formatRedirect(r.Redirect))
	case len(r.Backends) == 0 && r.InvalidWeight == 0:
		fmt.Fprintf(w, "    -> %s\n", failure)
	}
	for i := range r.Backends {
		b := &r.Backends[i]
		fmt.Fprintf(w, "    -> %s:%d weight %d\n", b.Service, b.Port, b.Weight)
		formatFilters(w, "       ", &b.Filters)
	}
	if r.InvalidWeight > 0 {
		fmt.Fprintf(w, "    -> %s weight %d\n", failure, r.InvalidWeight)
	}
}

var operators = map[policy.StringMatchKind]string{policy.Exact: "=", policy.PathPrefix: "^", policy.Regex: "~"}

func formatMatch(m *policy.Match) string {
	var parts []string
	if m.GRPC {
		parts = append(parts, "grpc")
	}
	if m.Path != nil {
		parts = append(parts, "path "+operators[m.Path.Kind]+" "+m.Path.Value)
	}
	if m.Method != "" {
		parts = append(parts, m.Method)
	}
	for _, h := range m.Headers {
		parts = append(parts, "header "+h.Name+" "+operators[h.Kind]+" "+h.Value)
	}
	for _, q := range m.Query {
		parts = append(parts, "query "+q.Name+" "+operators[q.Kind]+" "+q.Value)
	}
	if len(parts) == 0 {
		return "any"
	}
	return strings.Join(parts, ", ")
}

func formatFilters(w *strings.Builder, indent string, f *policy.Filters) {
	change := func(what string, c *policy.HeaderChange) {
		if c.Empty() {
			return
		}
		fmt.Fprintf(w, "%s%s:", indent, what)
		for _, h := range c.Set {
			fmt.Fprintf(w, " set %s=%s", h.Name, h.Value)
		}
		for _, h := range c.Add {
			fmt.Fprintf(w, " add %s=%s", h.Name, h.Value)
		}
		for _, h := range c.Remove {
			fmt.Fprintf(w, " remove %s", h)
		}
		fmt.Fprintln(w)
	}
	change("request", f.Request)
	change("response", f.Response)
	if r := f.Rewrite; r != nil {
		fmt.Fprintf(w, "%srewrite%s\n", indent, formatTarget(r.Host, r.FullPath, r.PrefixMatch))
	}
	for _, m := range f.Mirrors {
		fmt.Fprintf(w, "%smirror %d/%d to %s:%d\n", indent, m.Numerator, m.Denominator, m.Backend.Service, m.Backend.Port)
	}
	if c := f.CORS; c != nil {
		fmt.Fprintf(w, "%scors origins=%v methods=%v headers=%v expose=%v credentials=%v age=%v\n", indent,
			c.AllowOrigins, c.AllowMethods, c.AllowHeaders, c.ExposeHeaders, c.AllowCredentials, c.MaxAge)
	}
}

func formatTarget(host string, full, prefix *string) string {
	var s string
	if host != "" {
		s += " host=" + host
	}
	if full != nil {
		s += " path=" + *full
	}
	if prefix != nil {
		s += fmt.Sprintf(" prefix=%q", *prefix)
	}
	return s
}

func formatRedirect(r *policy.Redirect) string {
	s := fmt.Sprintf("%d", r.Code)
	if r.Scheme != "" {
		s += " " + r.Scheme
	}
	s += fmt.Sprintf(" port %d", r.Port)
	if r.ImpliedPort {
		s += " (implied)"
	}
	return s + formatTarget(r.Host, r.FullPath, r.PrefixMatch)
}

func formatTimes(w *strings.Builder, r *policy.Rule) {
	if t := r.Timeouts.Request; t != nil {
		fmt.Fprintf(w, "    timeout %s\n", *t)
	}
	if t := r.Timeouts.BackendRequest; t != nil {
		fmt.Fprintf(w, "    timeout of a try %s\n", *t)
	}
	if r.Retry != nil {
		fmt.Fprintf(w, "    retry %d codes=%v backoff=%s unreached=%v\n", r.Retry.Attempts, r.Retry.Codes, r.Retry.Backoff, r.Retry.Unreached)
	}
}

// formatVerdicts writes type, status and reason of the conditions, and code and
// field of the findings: not their sentences, which formatMessages does.
func formatVerdicts(store *mesh.Store) string {
	var w strings.Builder
	for _, r := range store.AllRoutes() {
		for _, v := range policy.Verdicts(store, r) {
			formatVerdict(&w, v)
			for _, c := range v.Conditions {
				fmt.Fprintf(&w, "  %s %v %s\n", c.Type, c.Status, c.Reason)
				for _, f := range c.Findings {
					fmt.Fprintf(&w, "    %s %s\n", f.Code, f.Field)
				}
			}
		}
	}
	return w.String()
}

func formatVerdict(w *strings.Builder, v policy.Verdict) {
	fmt.Fprintf(w, "%s %s parentRefs[%d] %s", v.Kind, v.Route, v.ParentIndex, v.Parent)
	if v.Port != 0 {
		fmt.Fprintf(w, ":%d", v.Port)
	}
	fmt.Fprintln(w)
}

func formatLint(store *mesh.Store) string {
	var lines []string
	for _, f := range policy.Lint(store) {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s\n", f.Code, f.Severity, f.Kind, f.Object, f.Field))
	}
	return strings.Join(lines, "")
}

// formatMessages writes everything as a person reads it.
func formatMessages(store *mesh.Store) string {
	var w strings.Builder
	for _, r := range store.AllRoutes() {
		for _, v := range policy.Verdicts(store, r) {
			formatVerdict(&w, v)
			for _, c := range v.Conditions {
				fmt.Fprintf(&w, "  %s=%v %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
			}
		}
	}
	for _, f := range policy.Lint(store) {
		fmt.Fprintln(&w, f)
	}
	return w.String()
}
