package fairlead_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/fairlead/fairlead/"

// forbidden lists imports that would turn an arrow of the architecture round.
var forbidden = []struct {
	from, to string // path prefixes; from is within the module
	why      string
}{
	{"mesh", module + "policy", "the model decides nothing"},
	{"mesh", module + "xds", "the model knows no Envoy"},
	{"mesh", "github.com/envoyproxy/", "the model knows no Envoy"},
	{"policy", module + "xds", "imports point towards xds"},
	{"policy", "github.com/envoyproxy/", "policy is meaning, not configuration"},
	{"policy", "k8s.io/client-go", "policy is pure"},
	{"xds", "k8s.io/client-go", "xds is fed by the model alone"},
	{"xds", module + "mesh/manifests", "xds does not care where objects come from"},
	{"certs", "github.com/envoyproxy/", "the CA knows no Envoy"},
	{"certs", module + "xds", "imports point towards xds"},
	{"certs", module + "policy", "the CA knows no rules"},
	{"xds/ads", module + "xds/envoy", "the server does not know what a resource means"},
	{"xds/ads", module + "policy", "the server does not know what a resource means"},
	{"xds/ads", module + "certs", "the server does not know what a resource means"},
	{"injector", module + "xds", "the bootstrap comes before the first stream"},
	{"cmd/fairlead-controller", module + "internal/lab", "the lab is for tests and the demo"},
	{"cmd/fairlead-redirect", "k8s.io/", "an init container stays small"},
	{"cmd/fairlead-redirect", "github.com/envoyproxy/", "an init container stays small"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Deps       []string
	GoFiles    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Deps,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// within reports that path is prefix or lies under it.
func within(path, prefix string) bool {
	return path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range forbidden {
			if !within(p.ImportPath, module+rule.from) {
				continue
			}
			for _, dep := range p.Deps {
				if within(dep, rule.to) {
					t.Errorf("%s depends on %s: %s", p.ImportPath, dep, rule.why)
				}
			}
		}
	}
}

func TestEveryPackageStatesItsContract(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
