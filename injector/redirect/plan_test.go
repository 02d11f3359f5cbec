package redirect

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestPlan runs testdata/*.txtar: "options" are lines of field and values, "rules"
// is the plan, or "error" what the error must hold.
func TestPlan(t *testing.T) {
	for _, file := range cases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := MakePlan(parseOptions(t, section(archive, "options")))
			if want := strings.TrimSpace(section(archive, "error")); want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("error %v, it should hold %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				archive.Files = []txtar.File{
					{Name: "options", Data: []byte(section(archive, "options"))},
					{Name: "rules", Data: []byte(plan.String())},
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(section(archive, "rules"), plan.String()); diff != "" {
				t.Errorf("the rules differ (-want +got); rewrite them with -update\n%s", diff)
			}
		})
	}
}

func cases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	return files
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func parseOptions(t *testing.T, text string) Options {
	t.Helper()
	var o Options
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		numbers := make([]uint16, len(words)-1)
		prefixes := make([]netip.Prefix, len(words)-1)
		for i, w := range words[1:] {
			if strings.Contains(w, "/") {
				prefixes[i] = netip.MustParsePrefix(w)
			} else if n, err := strconv.ParseUint(w, 10, 16); err == nil {
				numbers[i] = uint16(n)
			}
		}
		switch words[0] {
		case "ProxyUID":
			o.ProxyUID = uint32(numbers[0])
		case "ProxyGID":
			o.ProxyGID = uint32(numbers[0])
		case "OutboundPort":
			o.OutboundPort = numbers[0]
		case "InboundPort":
			o.InboundPort = numbers[0]
		case "ExcludeInboundPorts":
			o.ExcludeInboundPorts = numbers
		case "ExcludeOutboundPorts":
			o.ExcludeOutboundPorts = numbers
		case "ExcludeOutbound":
			o.ExcludeOutbound = prefixes
		case "IncludeOutbound":
			o.IncludeOutbound = prefixes
		default:
			t.Fatal(fmt.Errorf("unknown option %q", words[0]))
		}
	}
	return o
}
