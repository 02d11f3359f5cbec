package xds_test

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/manifests"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A golden file is a mesh and what some proxies are told of it:
//
//	what the case is about
//	-- mesh.yaml --           manifests, and the mesh's settings under kind: Settings
//	-- CDS 10.96.0.10:80 --   a resource: type, name, and in brackets the namespace
//	                          of the caller, or its workload with its kind, where
//	                          that matters
//	-- CDS 10.96.0.10:80 alt_stat_name lb_policy --   only these fields of it
//
// The text of a resource starts with what goes along with it.
func TestGolden(t *testing.T) {
	for _, file := range goldenFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, view := readGolden(t, file)
			for i, f := range archive.Files {
				if f.Name == meshFile {
					continue
				}
				got := render(t, view, parseSection(t, f.Name))
				if *update {
					archive.Files[i].Data = got
				} else if !bytes.Equal(got, f.Data) {
					t.Errorf("%s differs (-update rewrites it):\n%s", f.Name, difference(string(f.Data), string(got)))
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// The same mesh gives the same bytes, whatever order the objects came in.
func TestDeterministic(t *testing.T) {
	for _, file := range goldenFiles(t) {
		archive, a := readGolden(t, file)
		_, b := readGolden(t, file)
		for _, s := range sections(t, archive) {
			x, y := build(t, a, s.key).Message, build(t, b, s.key).Message
			if x == nil {
				continue
			}
			mx, _ := proto.MarshalOptions{Deterministic: true}.Marshal(x)
			my, _ := proto.MarshalOptions{Deterministic: true}.Marshal(y)
			if !bytes.Equal(mx, my) {
				t.Errorf("%s: %s: two builds differ", file, s.key)
			}
		}
	}
}

const meshFile = "mesh.yaml"

func goldenFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return files
}

func readGolden(t testing.TB, file string) (*txtar.Archive, mesh.View) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == meshFile })
	if i < 0 {
		t.Fatalf("%s: no %s", file, meshFile)
	}
	return archive, newMesh(t, archive.Files[i].Data)
}

// newMesh makes a store of manifests; the document of kind Settings is the
// mesh's own.
func newMesh(t testing.TB, text []byte) *mesh.Store {
	t.Helper()
	settings := mesh.Settings{Ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	var docs [][]byte
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal(doc, &kind); err == nil && kind.Kind == "Settings" {
			settings = mesh.Settings{}
			if err := yaml.Unmarshal(doc, &settings); err != nil {
				t.Fatal(err)
			}
			continue
		}
		docs = append(docs, doc)
	}
	result, err := manifests.Read(bytes.NewReader(bytes.Join(docs, []byte("\n---\n"))), meshFile, manifests.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range result.Problems {
		t.Error(p)
	}
	return result.Store(settings)
}

// section is one resource to print.
type section struct {
	key    ads.Key
	fields []string
}

func sections(t testing.TB, a *txtar.Archive) []section {
	t.Helper()
	var list []section
	for _, f := range a.Files {
		if f.Name != meshFile {
			list = append(list, parseSection(t, f.Name))
		}
	}
	return list
}

func parseSection(t testing.TB, header string) section {
	t.Helper()
	words := strings.Fields(header)
	if len(words) < 2 {
		t.Fatalf("section %q: want a type and a name", header)
	}
	typ, ok := ads.ParseType(words[0])
	if !ok {
		t.Fatalf("section %q: no such type", header)
	}
	name := words[1]
	client := &ads.Client{Identity: mesh.Identity{Account: mesh.Name{Namespace: "shop", Name: "web"}}}
	rest := words[2:]
	if len(rest) > 0 && strings.HasPrefix(rest[0], "[") {
		who := strings.Split(strings.Trim(rest[0], "[]"), "/") // a namespace, or a workload with its kind
		rest = rest[1:]
		if len(who) == 3 {
			client.Workload = mesh.Workload{Kind: who[0], Name: mesh.Name{Namespace: who[1], Name: who[2]}}
			who = who[1:]
		}
		client.Identity.Account.Namespace = who[0]
	}
	key, ok := generator().Resolve(client, typ, name)
	if !ok {
		t.Fatalf("section %q: not a name", header)
	}
	return section{key, rest}
}

func render(t *testing.T, v mesh.View, s section) []byte {
	t.Helper()
	b := build(t, v, s.key)
	var out bytes.Buffer
	for _, r := range b.Refs {
		fmt.Fprintf(&out, "# with %s\n", r)
	}
	for _, r := range b.After {
		fmt.Fprintf(&out, "# after %s\n", r)
	}
	if b.Message == nil {
		out.WriteString("# none\n")
		return out.Bytes()
	}
	text, err := envoy.YAML(b.Message)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.fields) > 0 {
		all := map[string]any{}
		if err := yaml.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		some := map[string]any{}
		for _, f := range s.fields {
			if all[f] != nil {
				some[f] = all[f]
			}
		}
		if text, err = yaml.Marshal(some); err != nil {
			t.Fatal(err)
		}
	}
	out.Write(text)
	return out.Bytes()
}

func build(t testing.TB, v mesh.View, k ads.Key) ads.Built {
	t.Helper()
	b, err := generator().Build(k, v)
	if err != nil {
		t.Fatalf("%s: %v", k, err)
	}
	return b
}

func generator() *xds.Generator { return xds.New(xds.Config{Authority: fixedRoots{}}) }

// fixedRoots is an authority whose roots are always the same text.
type fixedRoots struct{}

func (fixedRoots) Issue(context.Context, mesh.Identity) (certs.Leaf, error) { panic("not here") }
func (fixedRoots) StillGood(string, mesh.Identity, time.Time) (time.Time, bool) {
	panic("not here")
}

func (fixedRoots) Bundle() certs.Bundle {
	b, err := certs.ParseBundle("roots.pem", must(os.ReadFile("testdata/roots.pem")))
	if err != nil {
		panic(err)
	}
	return b
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// difference shows the first lines that differ.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := at(w, i), at(g, i)
		if a != b {
			from, to := max(0, i-3), i+4
			return fmt.Sprintf("line %d\nwant:\n%s\ngot:\n%s", i+1, part(w, from, to), part(g, from, to))
		}
	}
	return cmp.Or(want, "empty")
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "<end>"
}

func part(list []string, from, to int) string {
	return "  " + strings.Join(list[min(from, len(list)):min(to, len(list))], "\n  ")
}
