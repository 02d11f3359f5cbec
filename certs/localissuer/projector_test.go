package localissuer

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
)

type fixture struct {
	t      *testing.T
	dir    string
	issuer *Issuer
	ca     string // the folder of trust
	trust  *certs.Authority
	p      *Projector
}

func newFixture(t *testing.T, change func(*ProjectorConfig)) *fixture {
	t.Helper()
	i, err := New()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: t.TempDir(), issuer: i, ca: t.TempDir()}
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	if f.trust, err = certs.LoadOrCreate(f.ca, certs.Options{Logger: silent}); err != nil {
		t.Fatal(err)
	}
	c := ProjectorConfig{
		Dir: f.dir, Issuer: i, Trust: f.trust, TokenLife: 10 * time.Minute,
		Files: func(volume string) map[string][]byte {
			return map[string][]byte{"token.sds.yaml": []byte("filename: " + volume + "/token\n")}
		},
		Logger: silent,
	}
	if change != nil {
		change(&c)
	}
	if f.p, err = NewProjector(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.p.Close() })
	return f
}

// addRoot adds another root to the trust bundle.
func (f *fixture) addRoot() {
	f.t.Helper()
	other, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	both := append(slices.Clone(f.trust.Bundle().PEM()), other.Bundle().PEM()...)
	if err := os.WriteFile(certs.OwnFiles(f.ca).Roots, both, 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.trust.Reload()
}

func (f *fixture) sync(pods ...Pod) {
	f.t.Helper()
	if err := f.p.Sync(pods); err != nil {
		f.t.Fatal(err)
	}
}

// run runs the projector until the returned function is called.
func (f *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.p.Run(ctx) }()
	return func() {
		f.t.Helper()
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fixture) read(pod Pod, name string) string {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.p.Path(pod.Name), name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// generation is what "..data" points to.
func (f *fixture) generation(pod Pod) string {
	f.t.Helper()
	l, err := os.Readlink(filepath.Join(f.p.Path(pod.Name), dataLink))
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f *fixture) list(dir string) []string {
	f.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (f *fixture) good(pod Pod) {
	f.t.Helper()
	c, err := authenticator(f.t, f.issuer).Authenticate(f.t.Context(), f.read(pod, TokenFile))
	if err != nil || c.PodUID != pod.UID || c.PodName != pod.Name.Name {
		f.t.Errorf("%+v %v", c, err)
	}
}

var ledger = Pod{Name: mesh.Name{Namespace: "shop", Name: "ledger-0"}, UID: "uid-2", ServiceAccount: "ledger"}
var other = Pod{Name: mesh.Name{Namespace: "bank", Name: "web-1"}, UID: "uid-3", ServiceAccount: "web"}

func TestVolumeIsAsTheKubeletWritesIt(t *testing.T) {
	f := newFixture(t, nil)
	f.sync(web, ledger, other)
	for _, p := range []Pod{web, ledger, other} {
		f.good(p)
	}
	dir := f.p.Path(web.Name)
	if got := f.read(web, RootFile); got != string(f.trust.Bundle().PEM()) {
		t.Errorf("roots: %s", got)
	}
	if got := f.read(web, "token.sds.yaml"); got != "filename: "+dir+"/token\n" {
		t.Errorf("SDS file: %s", got)
	}
	generation := f.generation(web)
	if got, want := f.list(dir), []string{dataLink, generation, RootFile, TokenFile, "token.sds.yaml"}; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("holds %v, want %v", got, want)
	}
	for path, mode := range map[string]fs.FileMode{
		dir:                                      0o700 | fs.ModeDir,
		filepath.Join(dir, generation):           0o700 | fs.ModeDir,
		filepath.Join(dir, TokenFile):            0o777 | fs.ModeSymlink,
		filepath.Join(dir, dataLink):             0o777 | fs.ModeSymlink,
		filepath.Join(dir, generation, "token"):  0o600,
		filepath.Join(dir, generation, RootFile): 0o600,
		filepath.Join(f.dir, "shop"):             0o711 | fs.ModeDir,
	} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
}

// At 80% of its life a token is replaced; the generation before stays for one who
// has just resolved the link, older ones do not pile up.
func TestTokensAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		defer f.run()()
		f.sync(web)
		first, generation := f.read(web, TokenFile), f.generation(web)
		time.Sleep(8*time.Minute - time.Second)
		synctest.Wait()
		if f.read(web, TokenFile) != first {
			t.Error("renewed before 80% of its life")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if f.read(web, TokenFile) == first || f.generation(web) == generation {
			t.Error("not renewed at 80% of its life")
		}
		if _, err := os.Stat(filepath.Join(f.p.Path(web.Name), generation, TokenFile)); err != nil {
			t.Errorf("the generation before is gone at once: %v", err)
		}
		for range 10 {
			time.Sleep(8 * time.Minute)
			synctest.Wait()
			f.good(web)
		}
		if got := f.list(f.p.Path(web.Name)); len(got) != 6 { // 3 files, ..data, 2 generations
			t.Errorf("holds %v", got)
		}
	})
}

func TestBundleChangeReachesAllVolumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		defer f.run()()
		f.sync(web, ledger)
		before := f.read(web, RootFile)
		for range 3 { // at once: the last one counts
			f.addRoot()
		}
		synctest.Wait()
		for _, p := range []Pod{web, ledger} {
			if got := f.read(p, RootFile); got == before || got != string(f.trust.Bundle().PEM()) {
				t.Errorf("%s has the old roots", p.Name)
			}
			f.good(p)
		}
	})
}

func TestSyncTouchesOnlyWhatChanged(t *testing.T) {
	f := newFixture(t, nil)
	f.sync(web, ledger, other)
	same := f.generation(web)
	moved := ledger
	moved.UID = "uid-9" // made anew under the same name
	f.sync(web, moved)
	if f.generation(web) != same {
		t.Error("a volume was written without need")
	}
	f.good(moved)
	if got := f.list(f.dir); !slices.Equal(got, []string{"shop"}) {
		t.Errorf("after a pod and with it its namespace went away: %v", got)
	}
	f.sync()
	if got := f.list(f.dir); len(got) != 0 {
		t.Errorf("after all went away: %v", got)
	}
}

// What a run before left behind goes; what is not ours stays.
func TestStart(t *testing.T) {
	f := newFixture(t, nil)
	f.sync(web, ledger)
	stray := filepath.Join(f.dir, "home", "somebody")
	if err := os.MkdirAll(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	again, err := NewProjector(f.p.config)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Sync([]Pod{web}); err != nil {
		t.Fatal(err)
	}
	f.good(web)
	if got := f.list(filepath.Join(f.dir, "shop")); !slices.Equal(got, []string{"web-1"}) {
		t.Errorf("left: %v", got)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error("a folder that is no volume was removed")
	}
}

// A volume that cannot be written hinders no other, and is tried again.
func TestTroubleIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		defer f.run()()
		obstacle := filepath.Join(f.dir, "shop")
		if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err := f.p.Sync([]Pod{web, other})
		if err == nil || !strings.Contains(err.Error(), "shop/web-1") {
			t.Errorf("%v", err)
		}
		f.good(other)
		if err := os.Remove(obstacle); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryAfter + time.Second)
		synctest.Wait()
		f.good(web)
	})
}

func TestNamesCannotLeaveTheFolder(t *testing.T) {
	f := newFixture(t, nil)
	for _, n := range []mesh.Name{{Namespace: "..", Name: "x"}, {Namespace: "x", Name: ".."}, {Namespace: "x", Name: "../../y"}, {Namespace: "", Name: "x"}, {Namespace: "a/b", Name: "x"}} {
		if err := f.p.Sync([]Pod{{Name: n, UID: "u"}, web}); err == nil {
			t.Errorf("%v was accepted", n)
		}
		f.good(web)
	}
	for _, name := range []string{"../x", "..data", "a/b", ""} {
		g := newFixture(t, func(c *ProjectorConfig) {
			c.Files = func(string) map[string][]byte { return map[string][]byte{name: nil} }
		})
		if err := g.p.Sync([]Pod{web}); err == nil {
			t.Errorf("file name %q was accepted", name)
		}
	}
}

// Whoever owns a volume may put links into it; we, who may be root, do not follow
// them out.
func TestOwnerCannotMisuseUs(t *testing.T) {
	f := newFixture(t, nil)
	f.sync(web)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := f.p.Path(web.Name)
	for _, name := range []string{dataLinkNew, "stray", TokenFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	moved := web
	moved.ServiceAccount = "admin"
	f.sync(moved)
	f.good(moved)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, dir); err != nil {
		t.Fatal(err)
	}
	if err := f.p.Sync([]Pod{web}); err == nil {
		t.Error("wrote through a link out of the folder")
	}
	f.sync()
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("%q %v", b, err)
	}
	if got := f.list(outside); len(got) != 1 {
		t.Errorf("outside: %v", got)
	}
}

// With an owner, each part of a volume is the owner's.
func TestOwner(t *testing.T) {
	owner := Owner{UID: os.Getuid(), GID: os.Getgid()}
	if owner.UID == 0 { // only root may give files away
		owner = Owner{UID: 1337, GID: 1337}
	}
	f := newFixture(t, func(c *ProjectorConfig) { c.Owner = &owner })
	f.sync(web)
	f.sync(web)
	dir := f.p.Path(web.Name)
	for _, path := range []string{dir, filepath.Join(dir, f.generation(web)), filepath.Join(dir, TokenFile), filepath.Join(dir, RootFile)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if int(stat.Uid) != owner.UID || int(stat.Gid) != owner.GID {
			t.Errorf("%s belongs to %d:%d", path, stat.Uid, stat.Gid)
		}
	}
}

// A reader sees a whole token at every moment of many renewals, as long as it takes
// no longer over one read than a renewal lasts.
func TestReadersNeverSeeAHole(t *testing.T) {
	f := newFixture(t, nil)
	f.sync(web)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var reads [3]chan struct{} // one for each reader: it has read once more
	for r := range reads {
		reads[r] = make(chan struct{})
		wg.Go(func() {
			for {
				b, err := os.ReadFile(filepath.Join(f.p.Path(web.Name), TokenFile))
				if err != nil || strings.Count(string(b), ".") != 2 {
					t.Errorf("read %d bytes: %v", len(b), err)
				}
				select {
				case reads[r] <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	for i := range 100 {
		p := web
		p.UID = strings.Repeat("u", i+1) // a change, so that it is written anew
		f.sync(p)
		for _, r := range reads { // nobody is two renewals behind
			<-r
		}
	}
	close(stop)
	wg.Wait()
}

func TestConfigIsChecked(t *testing.T) {
	i, err := New()
	if err != nil {
		t.Fatal(err)
	}
	trust, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []ProjectorConfig{
		{},
		{Dir: t.TempDir(), Issuer: i},
		{Dir: t.TempDir(), Trust: trust},
		{Issuer: i, Trust: trust},
		{Dir: t.TempDir(), Issuer: i, Trust: trust, TokenLife: time.Second},
		{Dir: "/dev/null/x", Issuer: i, Trust: trust},
	} {
		if p, err := NewProjector(c); err == nil {
			p.Close()
			t.Errorf("%+v was accepted", c)
		}
	}
}

// Who changes the bundle can wait until it stands in every volume, whether or not
// Run has got to it.
func TestRefreshWritesTheBundleNow(t *testing.T) {
	f := newFixture(t, nil)
	f.sync(web)
	before := f.generation(web)
	if err := f.p.Refresh(); err != nil || f.generation(web) != before {
		t.Errorf("nothing was due: %v", err)
	}
	f.addRoot()
	if err := f.p.Refresh(); err != nil || f.read(web, RootFile) != string(f.trust.Bundle().PEM()) {
		t.Errorf("the volume has another bundle: %v", err)
	}
	f.good(web)
}
