//go:build linux

package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/examples/shop"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/manifests"
)

// world is the mesh on this machine. Its methods are called from one goroutine.
type world struct {
	Options
	lab     *lab.Lab
	dir     string // the work folder: manifests, state, logs
	ownDir  bool
	control *controlPlane
	pods    map[string]*pod
	// addresses are those of the Services, by "namespace/name".
	addresses map[string]netip.Addr
}

func (w *world) manifests() string { return filepath.Join(w.dir, "manifests") }
func (w *world) state() string     { return filepath.Join(w.dir, "state") }

// newWorld checks what is needed and makes the work folder and an empty lab.
func newWorld(ctx context.Context, o Options) (*world, error) {
	w := &world{Options: o, pods: map[string]*pod{}}
	if w.Examples == nil {
		w.Examples = shop.Manifests()
	}
	if err := w.findPrograms(); err != nil {
		return nil, &NeedError{err}
	}
	// Namespaces of a demonstration whose process was killed.
	if err := lab.CleanupStale(); err != nil {
		return nil, &NeedError{err}
	}
	if err := w.makeDir(); err != nil {
		return nil, &NeedError{err}
	}
	var err error
	if w.lab, err = lab.New(ctx, lab.Options{Name: "demo", Dir: filepath.Join(w.dir, "logs")}); err != nil {
		return nil, errors.Join(&NeedError{err}, w.removeDir())
	}
	return w, nil
}

// findPrograms checks that everything that will be started is there.
func (w *world) findPrograms() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the demo makes network namespaces and needs root, this is uid %d; run it with sudo, or in a container with --privileged", os.Geteuid())
	}
	if w.Programs == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the folder of this program: %w", err)
		}
		w.Programs = filepath.Dir(self)
	}
	for _, name := range []string{"fairlead-controller", "shop"} {
		if _, err := os.Stat(w.program(name)); err != nil {
			return fmt.Errorf("there is no program %s; run \"make build\", which puts it there", w.program(name))
		}
	}
	_, err := lab.EnvoyPath()
	return err
}

func (w *world) program(name string) string { return filepath.Join(w.Programs, name) }

// makeDir makes the work folder. The sidecars' user must be able to pass through.
func (w *world) makeDir() (err error) {
	if w.dir = w.Dir; w.dir == "" {
		w.ownDir = true
		if w.dir, err = os.MkdirTemp("", "fairlead-demo-"); err != nil {
			return err
		}
		err = os.Chmod(w.dir, 0o755)
	} else if w.dir, err = filepath.Abs(w.dir); err == nil {
		err = os.MkdirAll(w.dir, 0o755)
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("the work folder %s is not empty; name another, or empty it", w.dir)
	}
	for dir := w.dir; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("the sidecars' user cannot pass through %s to the work folder; name another, under /tmp say", dir)
		}
	}
	return os.Mkdir(w.manifests(), 0o755)
}

func (w *world) removeDir() error {
	if !w.ownDir {
		return nil
	}
	return os.RemoveAll(w.dir)
}

// close ends everything. The folder with the logs stays if something went wrong.
func (w *world) close(well bool) error {
	w.Reporter.Close()
	err := w.lab.Close()
	if !well {
		return err
	}
	return errors.Join(err, w.removeDir())
}

// failed ends the step with an error that ends the demonstration too, and adds
// where to look.
func (w *world) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		w.Reporter.End("interrupted")
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w (the demo may take %s in all)", err, w.Timeout)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	w.Reporter.End(line)
	return fmt.Errorf("%w (logs and manifests are in %s)", err, w.dir)
}

// start brings up the control plane and every pod of the manifests.
func (w *world) start(ctx context.Context) error {
	began := time.Now()
	if err := os.CopyFS(w.manifests(), yamlOnly{w.Examples}); err != nil {
		return fmt.Errorf("copy the manifests: %w", err)
	}
	wanted, err := replicas(w.Examples)
	if err != nil {
		return err
	}
	w.Progress("starting the control plane")
	if err := w.startController(ctx, leafTTL); err != nil {
		return err
	}
	w.Fact("control plane", "reads a folder of YAML, serving after "+human(time.Since(began)))

	began = time.Now()
	if err := w.addPods(ctx, wanted...); err != nil {
		return err
	}
	if err := w.nameThings(ctx, wanted); err != nil {
		return err
	}
	for _, name := range []string{"web-1", "catalog-v1-1", "catalog-v1-2", "catalog-v2-1", "ledger-1", "store-0"} {
		if w.pods[name] == nil {
			return fmt.Errorf("the examples make no pod %s/%s, which the demo calls; start from those of examples/shop", namespace, name)
		}
	}
	for _, p := range w.pods {
		if err := p.waitServing(ctx); err != nil {
			return err
		}
	}
	w.Fact("pods", fmt.Sprintf("%d, each with an Envoy %s, serving after %s", len(w.pods), lab.EnvoyVersion, human(time.Since(began))))
	return nil
}

// yamlOnly hides from a file system all but the manifests of its top folder.
type yamlOnly struct{ fs.FS }

// ReadDir implements fs.ReadDirFS.
func (y yamlOnly) ReadDir(name string) ([]fs.DirEntry, error) {
	files, err := manifestFiles(y.FS)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, f := range files {
		info, err := fs.Stat(y.FS, f)
		if err != nil {
			return nil, err
		}
		entries = append(entries, fs.FileInfoToDirEntry(info))
	}
	return entries, nil
}

// addPods makes the pods and starts what runs in them, all at the same time.
func (w *world) addPods(ctx context.Context, wanted ...replica) error {
	group, gctx := errgroup.WithContext(ctx)
	for _, r := range wanted {
		p, err := w.addPod(r)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return p.startSidecar(gctx, w.state()) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range wanted {
		if err := w.pods[r.name].startApp(w.program("shop")); err != nil {
			return err
		}
	}
	return nil
}

// nameThings learns the Services' addresses from the very code that the control
// plane reads the folder with, and makes their names known in the pods.
func (w *world) nameThings(ctx context.Context, pods []replica) error {
	ranges := []netip.Prefix{netip.MustParsePrefix(serviceRange)}
	read, err := manifests.Load(ctx, w.manifests(), manifests.Options{ServiceRanges: ranges, PodRanges: lab.PodRanges()})
	if err != nil {
		return err
	}
	if len(read.Problems) > 0 {
		return fmt.Errorf("the manifests are not in order: %w", read.Problems[0])
	}
	services := read.Store(mesh.Settings{}).Services()
	w.addresses = map[string]netip.Addr{}
	for _, s := range services {
		if len(s.Addresses) > 0 {
			w.addresses[s.Name.String()] = s.Addresses[0]
		}
	}
	var named []namedPod
	for _, r := range pods {
		named = append(named, namedPod{
			Name: mesh.Name{Namespace: r.namespace, Name: r.name}, Service: r.service,
			Addresses: w.pods[r.name].Spec.Addresses,
		})
	}
	for name, addresses := range hosts(services, named) {
		if err := w.lab.SetHost(name, addresses...); err != nil {
			return err
		}
	}
	return nil
}

// Progress and Fact pass on to the reporter.
func (w *world) Progress(format string, args ...any) {
	w.Reporter.Progress(fmt.Sprintf(format, args...))
}
func (w *world) Fact(label, text string) { w.Reporter.Fact(label, text) }

// until asks again and again until the answer is nil; the error says what was waited
// for, and the last answer.
func until(ctx context.Context, limit time.Duration, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s: %w", what, limit, cmp.Or(last, ctx.Err()))
		case <-tick.C:
		}
	}
}

// pause lets time pass while a load runs, telling tick how much of it, from 0 to 1.
func pause(ctx context.Context, d time.Duration, tick func(part float64)) error {
	began := time.Now()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		passed := time.Since(began)
		if passed >= d {
			return nil
		}
		tick(passed.Seconds() / d.Seconds())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
