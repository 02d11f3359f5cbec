package demo

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/examples/shop"
	"github.com/fairlead/fairlead/mesh"
)

// The built-in shop makes the pods that the steps call.
func TestReplicasOfTheShop(t *testing.T) {
	all, err := replicas(shop.Manifests())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, fmt.Sprintf("%s/%s account=%s owner=%s/%s service=%s port=%d args=%s",
			r.namespace, r.name, r.account, r.owner.Kind, strings.TrimSuffix(r.owner.Name, r.labels["pod-template-hash"]), r.service, r.port(), r.args[0]))
	}
	want := []string{
		"shop/catalog-v1-1 account=catalog owner=ReplicaSet/catalog-v1- service= port=8080 args=catalog",
		"shop/catalog-v1-2 account=catalog owner=ReplicaSet/catalog-v1- service= port=8080 args=catalog",
		"shop/catalog-v2-1 account=catalog owner=ReplicaSet/catalog-v2- service= port=8080 args=catalog",
		"shop/ledger-1 account=ledger owner=ReplicaSet/ledger- service= port=3306 args=ledger",
		"shop/store-0 account=store owner=StatefulSet/store service=store port=9000 args=store",
		"shop/store-1 account=store owner=StatefulSet/store service=store port=9000 args=store",
		"shop/web-1 account=web owner=ReplicaSet/web- service= port=8080 args=web",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReplicasSayWhatTheyCannotRead(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no file":        {fstest.MapFS{"README.md": {}}, "no .yaml file"},
		"not YAML":       {fstest.MapFS{"a.yaml": {Data: []byte("a: [")}}, "a.yaml"},
		"two containers": {fstest.MapFS{"a.yaml": {Data: []byte("kind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{}, {}]}}}")}}, "2 entries"},
	} {
		if _, err := replicas(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	address := netip.MustParseAddr
	got := hosts([]*mesh.Service{
		{Name: mesh.Name{Namespace: "shop", Name: "catalog"}, Addresses: []netip.Addr{address("10.96.0.1")}},
		{Name: mesh.Name{Namespace: "shop", Name: "store"}, Headless: true},
	}, []namedPod{
		{Name: mesh.Name{Namespace: "shop", Name: "store-0"}, Service: "store", Addresses: []netip.Addr{address("10.244.0.2")}},
		{Name: mesh.Name{Namespace: "shop", Name: "store-1"}, Service: "store", Addresses: []netip.Addr{address("10.244.0.3")}},
		{Name: mesh.Name{Namespace: "shop", Name: "web-1"}, Addresses: []netip.Addr{address("10.244.0.4")}},
	})
	for name, want := range map[string]string{
		"catalog.shop":                           "[10.96.0.1]",
		"catalog.shop.svc.cluster.local":         "[10.96.0.1]",
		"store.shop.svc":                         "[10.244.0.2 10.244.0.3]",
		"store-1.store.shop":                     "[10.244.0.3]",
		"store-0.store.shop.svc.cluster.local":   "[10.244.0.2]",
		"web-1.store.shop":                       "[]",
		"catalog":                                "[]",
		"store-0.store.shop.svc.cluster.local.a": "[]",
	} {
		if g := fmt.Sprint(got[name]); g != want {
			t.Errorf("%s resolves to %s, want %s", name, g, want)
		}
	}
}

func TestPeers(t *testing.T) {
	web := peers{By: "spiffe://cluster.local/ns/shop/sa/catalog", URI: "spiffe://cluster.local/ns/shop/sa/web", Hash: "ab"}
	for header, want := range map[string]peers{
		"": {},
		"By=spiffe://cluster.local/ns/shop/sa/catalog;Hash=ab;URI=spiffe://cluster.local/ns/shop/sa/web":                         web,
		`URI=far,By=spiffe://cluster.local/ns/shop/sa/catalog;Hash=ab;Subject="a;b,c";URI=spiffe://cluster.local/ns/shop/sa/web`: web,
		`Subject="a\";URI=x"`: {},
		"nonsense":            {},
	} {
		if diff := cmp.Diff(want, parsePeers(header)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", header, diff)
		}
	}
	for id, want := range map[string]string{web.URI: "shop/web", "spiffe://a/b": "spiffe://a/b", "": ""} {
		if got := short(id); got != want {
			t.Errorf("short(%q) is %q, want %q", id, got, want)
		}
	}
}

func FuzzParsePeers(f *testing.F) {
	f.Add(`By=a;Subject="b;\"c,d";URI=e,By=f`)
	f.Fuzz(func(t *testing.T, header string) {
		p := parsePeers(header)
		short(p.URI)
		if header == "" && p != (peers{}) {
			t.Errorf("nothing says %+v", p)
		}
	})
}

// The edit changes the two weights and not a letter besides.
func TestEditWeights(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, shop.Manifests()); err != nil {
		t.Fatal(err)
	}
	route := filepath.Join(dir, "catalog-route.yaml")
	before, err := os.ReadFile(route)
	if err != nil {
		t.Fatal(err)
	}
	file, err := editWeights(dir, weights{v1: 0, v2: 100})
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(route)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("weight: 90", "weight: 0", "weight: 10}", "weight: 100}").Replace(string(before))
	if diff := cmp.Diff(want, string(after)); diff != "" || file != route {
		t.Errorf("%s: -want +got:\n%s", file, diff)
	}
	if _, err := editWeights(t.TempDir(), weights{}); err == nil || !strings.Contains(err.Error(), "weight") {
		t.Errorf("a folder without the route: %v, want an error that says what is looked for", err)
	}
}

func TestYAMLOnly(t *testing.T) {
	files, err := manifestFiles(shop.Manifests())
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := fs.Glob(shop.Manifests(), "*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(embedded, files); diff != "" {
		t.Errorf("the binary carries files that are no manifests: -embedded +manifests:\n%s", diff)
	}
}

// answersAt makes answers that take 1 ms, 2 ms, and so on, started a second apart.
func answersAt(versions ...string) (answers []answer, began time.Time) {
	began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, v := range versions {
		start := began.Add(time.Duration(i) * time.Second)
		a := answer{start: start, end: start.Add(time.Duration(i+1) * time.Millisecond), version: v}
		if v == "" {
			a.err = fmt.Errorf("failed")
		}
		answers = append(answers, a)
	}
	return answers, began
}

func TestTally(t *testing.T) {
	answers, began := answersAt("v1", "v2", "", "v1", "v2", "v2")
	r := noFailures("what", answers)
	if r.Requests != 6 || r.Failures != 1 || r.P50.String() != "3.0 ms" || r.P99.String() != "6.0 ms" {
		t.Errorf("%+v", r)
	}
	if want := "1 of 6 requests failed; the first: failed"; r.Problem != want {
		t.Errorf("problem %q, want %q", r.Problem, want)
	}
	if got := share(answers, "v2"); got != 0.6 {
		t.Errorf("share of v2 %v, want 0.6", got)
	}
	if got, want := lastEnd(answers, "v1"), began.Add(3*time.Second+4*time.Millisecond); !got.Equal(want) {
		t.Errorf("last answer of v1 at %v, want %v", got, want)
	}
	if got := len(startedWithin(answers, began.Add(time.Second), began.Add(3*time.Second))); got != 2 {
		t.Errorf("%d requests within the second and third second, want 2", got)
	}
	if r := noFailures("nothing", nil); r.Problem == "" {
		t.Error("no request at all is no problem")
	}
	if !lastEnd(answers, "v3").IsZero() || share(nil, "v1") != 0 || quantile(nil, 0.5) != 0 {
		t.Error("nothing is something")
	}
}
