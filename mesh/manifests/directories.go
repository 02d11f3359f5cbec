package manifests

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// directories keeps the kernel's watches on a tree of folders: on every folder in
// it, on those that symbolic links lead to, and on the one that the root stands in
// (where it is seen to be replaced).
type directories struct {
	root, absolute string
	parent         string
	kernel         *fsnotify.Watcher
	watched        map[string]fs.FileInfo // what stood at each path when its watch was set
	entered        map[string]bool        // by the present walk
	problems       []Problem
}

func newDirectories(root string, kernel *fsnotify.Watcher) *directories {
	d := &directories{root: filepath.Clean(root), kernel: kernel, watched: map[string]fs.FileInfo{}}
	d.absolute = d.root
	if abs, err := filepath.Abs(d.root); err == nil {
		d.absolute = abs
	}
	d.parent = filepath.Dir(d.absolute)
	d.begin()
	return d
}

// begin starts a walk; enter is called for each folder, before it is listed.
func (d *directories) begin() {
	d.entered, d.problems = map[string]bool{}, nil
	d.enter(d.parent)
}

// enter sees to it that dir is watched. A watch follows the folder, not its path,
// so a folder that took another one's place needs a new one.
func (d *directories) enter(dir string) {
	if d.entered[dir] {
		return
	}
	d.entered[dir] = true
	info, err := os.Stat(dir)
	if err != nil {
		return // the walk will say so
	}
	old, ok := d.watched[dir]
	if ok && os.SameFile(old, info) && slices.Contains(d.kernel.WatchList(), dir) {
		return
	}
	// An error of Remove says that there is no watch, which is what it is called for.
	_ = d.kernel.Remove(dir)
	if err := d.kernel.Add(dir); err != nil {
		delete(d.watched, dir)
		d.problems = append(d.problems, notWatched(dir, err))
		return
	}
	d.watched[dir] = info
}

func notWatched(dir string, err error) Problem {
	p := Problem{
		Code: CodeUnreadable, File: dir,
		Message: "cannot be watched, and is only looked at every " + rescan.String() + ": " + err.Error(),
	}
	if errors.Is(err, syscall.ENOSPC) {
		p.Fix = "raise the sysctl fs.inotify.max_user_watches"
	}
	return p
}

// end drops the watches of folders that the walk did not come by.
func (d *directories) end() {
	for dir := range maps.Keys(d.watched) {
		if !d.entered[dir] {
			delete(d.watched, dir)
			_ = d.kernel.Remove(dir) // see enter
		}
	}
}

type subject uint8

const (
	aboutNothing subject = iota
	aboutManifest
	aboutTree // folders, links: what it means for the files, only a walk can tell
)

// dataLink is the link that the kubelet swaps when a mounted ConfigMap changes.
const dataLink = "..data"

// judge says what an event is about.
func (d *directories) judge(e fsnotify.Event) subject {
	if e.Name == d.root || e.Name == d.absolute {
		if isManifest(e.Name) && e.Op == fsnotify.Write {
			return aboutManifest
		}
		return aboutTree
	}
	name, dir := filepath.Base(e.Name), filepath.Dir(e.Name)
	if _, ok := d.watched[e.Name]; ok && e.Op != fsnotify.Chmod {
		return aboutTree // a folder went, or another came in its place
	}
	if _, ok := d.watched[dir]; !ok || strings.HasPrefix(name, ".") && name != dataLink {
		return aboutNothing
	}
	inside := strings.HasPrefix(e.Name, d.root+string(filepath.Separator)) || d.root == "."
	switch {
	case !inside && dir == d.parent:
		return aboutNothing // a neighbour of the root
	case !inside:
		return aboutTree // where a link leads to
	case name == dataLink:
		return aboutTree
	case !e.Has(fsnotify.Create):
		if isManifest(name) {
			return aboutManifest
		}
		return aboutNothing
	}
	switch info, err := os.Lstat(e.Name); {
	case err != nil:
		return aboutNothing // gone again, and a word of that is under way
	case !info.Mode().IsRegular():
		return aboutTree
	case isManifest(name):
		return aboutManifest
	}
	return aboutNothing
}
