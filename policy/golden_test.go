package policy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

var update = flag.Bool("update", false, "rewrite the want/ sections of testdata/*.txtar")

// sections are what a golden case may ask for; it holds only those it is about.
var sections = map[string]func(*mesh.Store) string{
	"want/outbound": formatOutbounds,
	"want/verdicts": formatVerdicts,
	"want/lint":     formatLint,
	"want/messages": formatMessages,
}

// TestGolden runs testdata/*.txtar: objects in, and out the rules of every Service
// port that has any, the verdicts on every route and the findings.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Comment) == 0 || len(archive.Files) < 2 || archive.Files[0].Name != "in.yaml" {
		t.Fatalf("%s: a case is a comment, in.yaml and at least one want/ section", file)
	}
	store := load(t, string(archive.Files[0].Data))
	for i := range archive.Files[1:] {
		f := &archive.Files[i+1]
		format, ok := sections[f.Name]
		if !ok {
			t.Fatalf("%s: no section %q", file, f.Name)
		}
		got := format(store)
		if again := format(store); again != got {
			t.Errorf("%s: %s differs from call to call", file, f.Name)
		}
		if *update {
			f.Data = []byte(got)
		} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("%s: %s (-want +got, -update rewrites it)\n%s", file, f.Name, diff)
		}
	}
	checkConsistent(t, store)
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkConsistent checks that what is served agrees with what is said of it: a
// rule is invalid in the one exactly if the other drops it, and a share of the
// requests fails exactly if a reference is said to be broken.
func checkConsistent(t *testing.T, store *mesh.Store) {
	t.Helper()
	for _, r := range store.AllRoutes() {
		for _, verdict := range policy.Verdicts(store, r) {
			conditions := map[policy.ConditionType]policy.Condition{}
			for _, c := range verdict.Conditions {
				conditions[c.Type] = c
				if c.Message == "" || c.Reason == "" {
					t.Errorf("%s %s: %s lacks a message or a reason", verdict.Kind, verdict.Route, c.Type)
				}
			}
			valid, invalid := served(store, r, verdict.Parent)
			accepted := conditions[policy.Accepted]
			switch {
			case accepted.Status && valid == 0:
				t.Errorf("%s %s is accepted at %s, but no rule of it is served", verdict.Kind, verdict.Route, verdict.Parent)
			case accepted.Status && invalid > 0 != conditions[policy.PartiallyInvalid].Status:
				t.Errorf("%s %s at %s: %d invalid rules are served, PartiallyInvalid is %v", verdict.Kind, verdict.Route, verdict.Parent, invalid, conditions[policy.PartiallyInvalid].Status)
			case !accepted.Status && accepted.Reason == policy.ReasonUnsupportedValue && (valid > 0 || invalid == 0):
				t.Errorf("%s %s is refused at %s, but %d rules are served and %d fail", verdict.Kind, verdict.Route, verdict.Parent, valid, invalid)
			}
		}
	}
}

// served counts the rules of a route that its own namespace's callers of the Service have.
func served(store *mesh.Store, r *mesh.Route, service mesh.Name) (valid, invalid int) {
	s := store.Service(service)
	if s == nil {
		return 0, 0
	}
	for _, p := range s.Ports {
		for _, rule := range policy.ForService(store, r.Name().Namespace, service, p.Number).Rules {
			if rule.From.Kind != r.Kind() || rule.From.Route != r.Name() {
				continue
			}
			if rule.Invalid != "" {
				invalid++
			} else {
				valid++
			}
		}
	}
	return valid, invalid
}
