package manifests

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden reads each case of testdata: files as in a folder, and the model in
// the section "want". The section "options" sets Options, one per line.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var options Options
			var want *txtar.File
			for i := range archive.Files {
				switch f := &archive.Files[i]; f.Name {
				case "want":
					want = f
				case "options":
					options = parseOptions(t, string(f.Data))
				default:
					writeFile(t, filepath.Join(dir, f.Name), string(f.Data))
				}
			}
			if want == nil {
				archive.Files = append(archive.Files, txtar.File{Name: "want"})
				want = &archive.Files[len(archive.Files)-1]
			}
			result, err := Load(t.Context(), dir, options)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(dump(result), dir+string(filepath.Separator), "")
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("the model differs (-want +got):\n%s", diff)
			}
		})
	}
}

func parseOptions(t *testing.T, text string) (o Options) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "namespace":
			o.Namespace = rest
		case "stand-ins":
			o.StandIns = true
		case "services":
			o.ServiceRanges = parseRanges(rest)
		case "pods":
			o.PodRanges = parseRanges(rest)
		case "documents":
			o.MaxDocuments = len(rest)
		default:
			t.Fatalf("no such option: %s", line)
		}
	}
	return o
}

func parseRanges(s string) (out []netip.Prefix) {
	for _, r := range strings.Fields(s) {
		out = append(out, netip.MustParsePrefix(r))
	}
	return out
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
