package manifests

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// directories keeps the kernel's watches on a tree of folders: on every folder in
// it, on those that links lead to, and on the one that the root stands in (where it
// is seen to be replaced). The kernel watches what a path leads to, so everything
// here goes by real paths: absolute, and free of links.
type directories struct {
	root     string // as the user wrote it
	absolute string // the same from "/", with its links
	kernel   *fsnotify.Watcher

	watched map[string]*directory
	active  map[string]bool // what the kernel watched when the present walk began
	names   map[string]bool // the folders of the present walk, by their paths below the root
	// problems of the present walk.
	problems []Problem
}

// directory is one folder with a watch.
type directory struct {
	info fs.FileInfo
	walk walk
}

// walk is what the last walk through the tree found of a folder.
type walk struct {
	entered bool
	// names are the paths below the root that lead to it.
	names []string
	// linked says that links to files lead into it.
	linked bool
}

func newDirectories(root string, kernel *fsnotify.Watcher) *directories {
	d := &directories{root: filepath.Clean(root), kernel: kernel, watched: map[string]*directory{}}
	d.absolute = d.root
	if abs, err := filepath.Abs(d.root); err == nil {
		d.absolute = abs
	}
	d.begin()
	return d
}

// begin starts a walk; enter is called for each folder, before it is listed.
func (d *directories) begin() {
	d.problems, d.active, d.names = nil, map[string]bool{}, map[string]bool{}
	for _, real := range d.kernel.WatchList() {
		d.active[real] = true
	}
	for _, dir := range d.watched {
		dir.walk = walk{}
	}
	d.watch(filepath.Dir(d.absolute))
}

// enter sees to it that a folder of the tree is watched.
func (d *directories) enter(path string, link bool) {
	dir := d.watch(path)
	switch {
	case dir == nil:
	case link:
		dir.walk.linked = true
	default:
		dir.walk.names = append(dir.walk.names, path)
		d.names[path] = true
	}
}

// watch sees to it that a folder is watched; nil if it cannot be. A watch follows
// the folder, not its path, so a folder that took another one's place needs a new one.
func (d *directories) watch(path string) *directory {
	real, err := realPath(path)
	if err != nil {
		return nil // the walk will say so
	}
	dir := d.watched[real]
	if dir != nil && dir.walk.entered {
		return dir
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil
	}
	if dir == nil || !d.active[real] || !os.SameFile(dir.info, info) {
		// An error of Remove says that there is no watch, which is what it is called for.
		_ = d.kernel.Remove(real)
		if err := d.kernel.Add(real); err != nil {
			delete(d.watched, real)
			d.problems = append(d.problems, notWatched(path, err))
			return nil
		}
		dir = &directory{info: info}
		d.watched[real] = dir
	}
	dir.walk.entered = true
	return dir
}

func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
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
	for real, dir := range d.watched {
		if !dir.walk.entered {
			delete(d.watched, real)
			_ = d.kernel.Remove(real) // gone with the folder, most often
		}
	}
}

// dataLink is the link that the kubelet swaps when a mounted ConfigMap changes.
const dataLink = "..data"

// judge says which manifests an event is about, as paths below the root. tree says
// that only a walk can tell what it means: folders and links came or went.
func (d *directories) judge(e fsnotify.Event) (manifests []string, tree bool) {
	if e.Name == "" {
		return nil, false // fsnotify says so of a watch that is no more
	}
	base := filepath.Base(e.Name)
	if _, itself := d.watched[e.Name]; itself {
		return nil, e.Op != fsnotify.Chmod
	}
	dir := d.watched[filepath.Dir(e.Name)]
	if dir == nil {
		return nil, false
	}
	if base == filepath.Base(d.absolute) && d.isRoot(e.Name) {
		if e.Op == fsnotify.Write {
			return []string{d.root}, false // it is a file
		}
		return nil, true
	}
	if base == dataLink {
		return nil, true
	}
	if len(dir.walk.names) == 0 && !dir.walk.linked || strings.HasPrefix(base, ".") {
		return nil, false
	}
	if e.Has(fsnotify.Create) {
		info, err := os.Lstat(e.Name)
		if err == nil && !info.Mode().IsRegular() {
			return nil, true
		}
	}
	for _, name := range dir.walk.names {
		path := filepath.Join(name, base)
		if d.names[path] {
			return nil, true // a link to a folder
		}
		if isManifest(base) {
			manifests = append(manifests, path)
		}
	}
	return manifests, dir.walk.linked && isManifest(base)
}

// isRoot reports that a real path is where the root stands.
func (d *directories) isRoot(real string) bool {
	parent, err := filepath.EvalSymlinks(filepath.Dir(d.absolute))
	return err == nil && real == filepath.Join(parent, filepath.Base(d.absolute))
}
