package policy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/fairlead/fairlead/policy"
)

// TestCodes checks that the table is sorted and complete, and that some golden
// case shows each code.
func TestCodes(t *testing.T) {
	var codes []string
	for _, c := range policy.Codes() {
		codes = append(codes, c.Code)
		if c.Title == "" || c.Doc == "" || c.Severity == "" {
			t.Errorf("%s is not described: %+v", c.Code, c)
		}
	}
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("codes are not sorted and unique: %v", codes)
	}
	seen := findingsOfAllCases(t)
	for _, c := range codes {
		if !seen[c] {
			t.Errorf("no case in testdata shows %s", c)
		}
		delete(seen, c)
	}
	for c := range seen {
		t.Errorf("%s is not in the table", c)
	}
}

func findingsOfAllCases(t *testing.T) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range policy.Lint(load(t, string(txtar.Parse(data).Files[0].Data))) {
			seen[f.Code] = true
		}
	}
	return seen
}
