package manifests

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/mesh"
)

// watched is a folder with a Watch on it.
type watched struct {
	testing.TB
	dir     string
	store   *mesh.Store
	reports chan Report
	last    Report
}

func startWatch(t testing.TB, dir string) *watched {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	w := &watched{TB: t, dir: dir, store: mesh.NewStore(mesh.Settings{}), reports: make(chan Report, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, dir, Options{}, w.store, func(r Report) { w.reports <- r }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, ignore)
	})
	w.until("first report", func() bool { return true })
	return w
}

// until waits for a report after which ok holds.
func (w *watched) until(what string, ok func() bool) {
	w.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case w.last = <-w.reports:
			if ok() {
				return
			}
		case <-deadline:
			w.Fatalf("%s: not within 20 s; last report: %+v", what, w.last)
		}
	}
}

func (w *watched) untilPort(service string, port uint16) {
	w.Helper()
	w.until(service, func() bool { return w.port(service) == port })
}

// port is that of a Service in the store, 0 if there is none.
func (w *watched) port(service string) uint16 {
	s := w.store.Service(mesh.Name{Namespace: "default", Name: service})
	if s == nil {
		return 0
	}
	return s.Ports[0].Number
}

func (w *watched) write(name, text string) {
	w.Helper()
	writeFile(w, filepath.Join(w.dir, name), text)
}

func (w *watched) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func serviceYAML(name, port string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {ports: [{port: " + port + "}]}\n"
}

func folderWith(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "manifests")
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func TestWatchEdit(t *testing.T) {
	w := startWatch(t, folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80")}))
	if w.port("a") != 80 {
		t.Fatal("the first report comes after the first load")
	}
	w.write("a.yaml", serviceYAML("a", "81"))
	w.untilPort("a", 81)
	if want := []mesh.Key{{Kind: mesh.KindService, Name: mesh.Name{Namespace: "default", Name: "a"}}}; !slices.Equal(w.last.Keys, want) {
		t.Errorf("keys %v, want %v", w.last.Keys, want)
	}
	w.write("sub/deep/b.yaml", serviceYAML("b", "80"))
	w.untilPort("b", 80)
	w.write("sub/deep/b.yaml", serviceYAML("b", "81"))
	w.untilPort("b", 81)
	w.must(os.RemoveAll(filepath.Join(w.dir, "sub")))
	w.untilPort("b", 0)
}

// TestWatchAtomicRename is how kubectl, editors and configuration tools write.
func TestWatchAtomicRename(t *testing.T) {
	w := startWatch(t, folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80")}))
	for _, port := range []uint16{81, 82} {
		w.write(".a.yaml.swp", serviceYAML("a", "1")+"{")
		w.write("a.yaml.tmp", serviceYAML("a", map[uint16]string{81: "81", 82: "82"}[port]))
		w.must(os.Rename(filepath.Join(w.dir, "a.yaml.tmp"), filepath.Join(w.dir, "a.yaml")))
		w.untilPort("a", port)
	}
	w.must(os.Rename(filepath.Join(w.dir, "a.yaml"), filepath.Join(w.dir, "b.yaml")))
	w.until("a new name", func() bool { return slices.Contains(w.last.Read, filepath.Join(w.dir, "b.yaml")) })
	if w.port("a") != 82 || len(w.last.Problems) > 0 {
		t.Errorf("after a rename of the file: port %d, %v", w.port("a"), w.last.Problems)
	}
}

func TestWatchBrokenFile(t *testing.T) {
	w := startWatch(t, folderWith(t, map[string]string{
		"a.yaml": serviceYAML("a", "80"),
		"b.yaml": serviceYAML("b", "80") + "---\n" + serviceYAML("b2", "80"),
	}))
	b := filepath.Join(w.dir, "b.yaml")
	w.write("b.yaml", serviceYAML("b", "81")+"---\n"+serviceYAML("b2", "eighty"))
	w.until("a problem", func() bool { return len(w.last.Problems) == 1 })
	if p := w.last.Problems[0]; p.Code != CodeWrongType || p.Source() != b+":9" || p.Field != "spec.ports[0].port" {
		t.Errorf("problem %v", p)
	}
	if w.port("b") != 80 || w.port("b2") != 80 || !slices.Equal(w.last.Kept, []string{b}) {
		t.Errorf("a broken file keeps its last good state: b %d, b2 %d, kept %v", w.port("b"), w.port("b2"), w.last.Kept)
	}
	w.write("a.yaml", serviceYAML("a", "81"))
	w.untilPort("a", 81)
	if w.port("b2") != 80 || len(w.last.Problems) != 1 {
		t.Errorf("another file does not change that: b2 %d, %v", w.port("b2"), w.last.Problems)
	}
	w.write("b.yaml", serviceYAML("b", "82"))
	w.until("mended", func() bool { return len(w.last.Problems) == 0 })
	if w.port("b") != 82 || w.port("b2") != 0 || len(w.last.Kept) > 0 {
		t.Errorf("a mended file counts again: b %d, b2 %d, kept %v", w.port("b"), w.port("b2"), w.last.Kept)
	}
}

func TestWatchEmptied(t *testing.T) {
	w := startWatch(t, folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80")}))
	w.write("a.yaml", "")
	w.untilPort("a", 0)
	w.write("a.yaml", serviceYAML("a", "81"))
	w.untilPort("a", 81)
}

// TestGrace: a file that is emptied or removed before it is written again does not
// lose its objects in between.
func TestGrace(t *testing.T) {
	dir := folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80")})
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	f := newFolder(dir, Options{})
	touch := func(paths ...string) []string {
		t.Helper()
		changed, err := f.touch(t.Context(), paths)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if got := touch(a); !slices.Equal(got, []string{a}) {
		t.Fatalf("first: %v", got)
	}
	writeFile(t, a, "")
	if got := touch(a); len(got) > 0 || len(f.waiting) != 1 {
		t.Errorf("an empty file is waited for: %v", got)
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	if got := touch(a); len(got) > 0 || len(f.waiting) != 1 {
		t.Errorf("so is one that is gone: %v", got)
	}
	writeFile(t, a, serviceYAML("a", "81"))
	if got := touch(a); !slices.Equal(got, []string{a}) || len(f.waiting) > 0 {
		t.Errorf("it is back: %v, waiting %v", got, f.waiting)
	}
	if err := os.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	if got := touch(a, b); !slices.Equal(got, []string{a, b}) {
		t.Errorf("objects that arrived elsewhere need no waiting: %v", got)
	}
	writeFile(t, b, "")
	touch(b)
	f.waiting[b] = time.Now()
	if got := touch(b); !slices.Equal(got, []string{b}) || len(f.waiting) > 0 {
		t.Errorf("empty for good: %v, waiting %v", got, f.waiting)
	}
}

// TestWatchConfigMap is how the kubelet updates a mounted ConfigMap.
func TestWatchConfigMap(t *testing.T) {
	dir := folderWith(t, map[string]string{"..v1/a.yaml": serviceYAML("a", "80")})
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/a.yaml", "a.yaml")
	w := startWatch(t, dir)
	if w.port("a") != 80 {
		t.Fatal("a linked file is read")
	}
	w.write("..v2/a.yaml", serviceYAML("a", "81"))
	link("..v2", "..data_tmp")
	w.must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	w.must(os.RemoveAll(filepath.Join(dir, "..v1")))
	w.untilPort("a", 81)
}

// TestWatchLinks: files and folders that links lead to are watched where they are.
func TestWatchLinks(t *testing.T) {
	elsewhere := folderWith(t, map[string]string{
		"one/a.yaml": serviceYAML("a", "80"), "two/b.yaml": serviceYAML("b", "80"),
	})
	dir := folderWith(t, map[string]string{"x.yaml": serviceYAML("x", "80")})
	for name, target := range map[string]string{"a.yaml": "one/a.yaml", "two": "two"} {
		if err := os.Symlink(filepath.Join(elsewhere, target), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	w := startWatch(t, dir)
	writeFile(t, filepath.Join(elsewhere, "one/a.yaml"), serviceYAML("a", "8081"))
	w.untilPort("a", 8081)
	writeFile(t, filepath.Join(elsewhere, "two/b.yaml"), serviceYAML("b", "81"))
	w.untilPort("b", 81)
	w.must(os.Remove(filepath.Join(dir, "two")))
	w.untilPort("b", 0)
}

func TestWatchFolderReplaced(t *testing.T) {
	w := startWatch(t, folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80")}))
	old, next := w.dir+".old", w.dir+".next"
	w.must(os.Rename(w.dir, old))
	w.until("the folder is gone", func() bool { return hasCode(w.last.Problems, CodeGone) })
	if w.port("a") != 80 {
		t.Error("without its folder everything stays as it was")
	}
	writeFile(t, filepath.Join(next, "a.yaml"), serviceYAML("a", "81"))
	w.must(os.Rename(next, w.dir))
	w.untilPort("a", 81)
	if len(w.last.Problems) > 0 {
		t.Errorf("problems %v", w.last.Problems)
	}
	w.write("a.yaml", serviceYAML("a", "82"))
	w.untilPort("a", 82)
}

// TestWatchLinkedRoot: the folder itself is a link that is pointed elsewhere.
func TestWatchLinkedRoot(t *testing.T) {
	base := folderWith(t, map[string]string{"v1/a.yaml": serviceYAML("a", "80"), "v2/a.yaml": serviceYAML("a", "81")})
	current := filepath.Join(base, "current")
	point := func(to string) {
		t.Helper()
		if err := os.Symlink(to, current+".tmp"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(current+".tmp", current); err != nil {
			t.Fatal(err)
		}
	}
	point("v1")
	w := startWatch(t, current)
	point("v2")
	w.untilPort("a", 81)
	w.write("a.yaml", serviceYAML("a", "82"))
	w.untilPort("a", 82)
}

func TestWatchSingleFile(t *testing.T) {
	dir := folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80"), "b.yaml": serviceYAML("b", "80")})
	w := startWatch(t, filepath.Join(dir, "a.yaml"))
	writeFile(t, filepath.Join(dir, "b.yaml"), serviceYAML("b", "81"))
	writeFile(t, filepath.Join(dir, "a.yaml"), serviceYAML("a", "81"))
	w.untilPort("a", 81)
	writeFile(t, filepath.Join(dir, "tmp"), serviceYAML("a", "82"))
	w.must(os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "a.yaml")))
	w.untilPort("a", 82)
	if w.port("b") != 0 {
		t.Error("only the one file is read")
	}
}

// TestWatchRelative: paths in problems are as the user wrote them.
func TestWatchRelative(t *testing.T) {
	t.Chdir(folderWith(t, map[string]string{"a.yaml": serviceYAML("a", "80")}))
	w := startWatch(t, ".")
	w.write("a.yaml", serviceYAML("a", "x"))
	w.until("a problem", func() bool { return len(w.last.Problems) == 1 })
	if got := w.last.Problems[0].Source(); got != "a.yaml:4" {
		t.Errorf("source %q", got)
	}
}

// TestWatchKeepsStandIns: whoever comes, the others keep their addresses.
func TestWatchKeepsStandIns(t *testing.T) {
	dir := folderWith(t, map[string]string{"m.yaml": serviceYAML("m", "80"), "z.yaml": serviceYAML("z", "80")})
	f := newFolder(dir, Options{ServiceRanges: parseRanges("10.0.0.0/29")})
	refresh := func() map[mesh.Name]string {
		t.Helper()
		if _, err := f.refresh(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		f.remodel()
		out := map[mesh.Name]string{}
		for name, s := range f.parts["default"].services {
			if len(s.Addresses) == 1 {
				out[name] = s.Addresses[0].String()
			}
		}
		return out
	}
	before := refresh()
	for _, name := range []string{"a", "b", "c", "d"} {
		writeFile(t, filepath.Join(dir, name+".yaml"), serviceYAML(name, "80"))
	}
	after := refresh()
	for name, ip := range before {
		if after[name] != ip {
			t.Errorf("%s had %s, has %s", name, ip, after[name])
		}
	}
	if len(after) != 6 {
		t.Fatalf("the range is just large enough: %v", after)
	}
	writeFile(t, filepath.Join(dir, "e.yaml"), serviceYAML("e", "80"))
	refresh()
	if !hasCode(f.problems(), CodeNoAddress) {
		t.Errorf("problems %v", f.problems())
	}
	// An explicit address takes precedence over a stand-in.
	m := mesh.Name{Namespace: "default", Name: "m"}
	writeFile(t, filepath.Join(dir, "e.yaml"),
		strings.Replace(serviceYAML("e", "80"), "spec: {", "spec: {clusterIP: "+before[m]+", ", 1)+
			"---\n"+strings.Replace(serviceYAML("x", "80"), "{name: x}", "{name: x, namespace: other}", 1))
	now := refresh()
	if now[mesh.Name{Namespace: "default", Name: "e"}] != before[m] || now[m] == before[m] {
		t.Errorf("m had %s, now %v", before[m], now)
	}
}

func hasCode(problems []Problem, c Code) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Code == c })
}

func TestWatchMissing(t *testing.T) {
	err := Watch(t.Context(), filepath.Join(t.TempDir(), "none"), Options{}, mesh.NewStore(mesh.Settings{}), func(Report) {})
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("error %v", err)
	}
}
