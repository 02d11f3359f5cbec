package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/manifests"
	"github.com/fairlead/fairlead/policy"
)

// lintReport is what lint found.
type lintReport struct {
	Findings []policy.Finding `json:"findings"`
	Verdicts []policy.Verdict `json:"verdicts"`
	Skipped  []string         `json:"skipped,omitempty"`
}

func lintCommand() *cobra.Command {
	var source sourceFlags
	var strict bool
	var explain string
	out := newOutput("text", "wide", "json", "yaml")
	cmd := &cobra.Command{
		Use:   "lint [DIR]",
		Short: "Check manifests as the mesh would read them",
		Long: "Reads Kubernetes objects and says what the mesh could not read, what it would not do as written,\n" +
			"and what is doubtful: each with file, line, object, field and the way out. It also prints the\n" +
			"verdict that each route would carry in its status (-o wide prints all, not only the bad ones).\n\n" +
			"Exit codes: 0 no errors, 1 errors (with --strict: or warnings), 2 nothing could be read.",
		Example: "  fairlead lint deploy/\n  helm template . | fairlead lint -f -\n  fairlead lint --explain FL0207",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if explain != "" {
				return explainCode(cmd.OutOrStdout(), explain)
			}
			result, err := source.read(cmd.Context(), cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			report := lint(result)
			if done, err := out.structured(cmd.OutOrStdout(), report); err != nil {
				return err
			} else if !done {
				printLint(cmd.OutOrStdout(), report, out.value == "wide")
			}
			if report.bad(strict) {
				return found
			}
			return nil
		},
	}
	source.add(cmd)
	cmd.Flags().VarP(out, "output", "o", "format")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit 1 on warnings too")
	cmd.Flags().StringVar(&explain, "explain", "", "say what a code means, and exit")
	return cmd
}

// lint checks what was read.
func lint(result manifests.Result) lintReport {
	store := result.Store(offlineSettings())
	report := lintReport{Findings: []policy.Finding{}, Verdicts: []policy.Verdict{}}
	for _, p := range result.Problems {
		report.Findings = append(report.Findings, policy.Finding{
			Code: string(p.Code), Severity: policy.Error, Kind: p.Kind, Object: p.Name,
			Field: p.Field, Message: p.Message, Fix: p.Fix, Source: p.Source(),
		})
	}
	report.Findings = append(report.Findings, policy.Lint(store)...)
	for _, r := range store.AllRoutes() {
		report.Verdicts = append(report.Verdicts, policy.Verdicts(store, r)...)
	}
	for _, s := range result.Skipped {
		report.Skipped = append(report.Skipped, s.String())
	}
	return report
}

// bad reports whether lint is to exit with 1.
func (r *lintReport) bad(strict bool) bool {
	return slices.ContainsFunc(r.Findings, func(f policy.Finding) bool {
		return f.Severity == policy.Error || strict
	})
}

func printLint(w io.Writer, r lintReport, all bool) {
	errors, warnings := 0, 0
	for _, f := range r.Findings {
		fmt.Fprintln(w, describe(f))
		if f.Severity == policy.Error {
			errors++
		} else {
			warnings++
		}
	}
	printVerdicts(w, r.Verdicts, all)
	for _, s := range r.Skipped {
		fmt.Fprintln(w, "note:", s)
	}
	fmt.Fprintf(w, "%s, %s\n", count(errors, "error"), count(warnings, "warning"))
}

// describe writes a finding; an object that could not be read has no name.
func describe(f policy.Finding) string {
	if f.Kind != "" && f.Object != (mesh.Name{}) {
		return f.String()
	}
	s := f.Source + ": " + f.Code + " " + string(f.Severity)
	if f.Field != "" {
		s += " " + f.Field
	}
	s += ": " + f.Message
	if f.Fix != "" {
		s += "; " + f.Fix
	}
	return s
}

// printVerdicts prints the conditions of routes: of all, or of those that are
// not wholly good.
func printVerdicts(w io.Writer, verdicts []policy.Verdict, all bool) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer tw.Flush()
	header := false
	for _, v := range verdicts {
		good := !slices.ContainsFunc(v.Conditions, unhealthy)
		if good && !all {
			continue
		}
		if !header {
			fmt.Fprintln(tw, "\nROUTE\tPARENT\tCONDITION\tSTATUS\tREASON")
			header = true
		}
		parent := v.Parent.String()
		if v.Port != 0 {
			parent += ":" + strconv.Itoa(int(v.Port))
		}
		for _, c := range v.Conditions {
			fmt.Fprintf(tw, "%s %s\t%s\t%s\t%s\t%s\n", v.Kind, v.Route, parent, c.Type, title(c.Status), c.Reason)
		}
	}
	if header {
		fmt.Fprintln(tw)
	}
}

// unhealthy reports a condition that asks for attention: those of the Gateway API
// are good when true, but for PartiallyInvalid.
func unhealthy(c policy.Condition) bool {
	return c.Status != (c.Type == policy.Accepted || c.Type == policy.ResolvedRefs)
}

func title(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func explainCode(w io.Writer, code string) error {
	for _, c := range AllCodes() {
		if c.Code == code {
			_, err := fmt.Fprintf(w, "%s (%s): %s\n\n%s\n", c.Code, c.Severity, c.Title, c.Doc)
			return err
		}
	}
	return usage("no finding has the code %q", code)
}
