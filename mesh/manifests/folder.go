package manifests

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/mesh"
)

// folder remembers what the files of a folder said, so that only those that
// changed are read again. It belongs to one goroutine.
type folder struct {
	*source
	root   string
	states map[string]*state // by path
	scan   []Problem         // what the last walk could not enter
	gone   *Problem          // set while the whole folder is not there

	parts   map[string]*assembly       // by namespace
	members map[string]map[string]bool // by namespace: the files that speak of it
	dirty   map[string]bool            // namespaces whose part has to be made anew
	book    *addressBook
	// waiting says until when a file that is gone or empty is waited for.
	waiting map[string]time.Time
}

// state is one file.
type state struct {
	stamp stamp
	now   *file // what it says
	// good is what it said when it last had no problem; nil if it never had none.
	good *file
}

// stamp tells whether a file is the same as before without reading it.
type stamp struct {
	info     fs.FileInfo
	size     int64
	modified time.Time
}

func stampOf(info fs.FileInfo) stamp { return stamp{info, info.Size(), info.ModTime()} }

func (s stamp) same(o stamp) bool {
	return s.size == o.size && s.modified.Equal(o.modified) && s.info != nil && o.info != nil && os.SameFile(s.info, o.info)
}

// counts is what of the file counts: what it says, or, if it is broken, what it
// said before it broke.
func (s *state) counts() *file {
	if len(s.now.problems) > 0 && s.good != nil {
		return s.good
	}
	return s.now
}

func newFolder(root string, o Options) *folder {
	src := newSource(o)
	return &folder{
		source:  src,
		root:    filepath.Clean(root),
		states:  map[string]*state{},
		parts:   map[string]*assembly{},
		members: map[string]map[string]bool{},
		dirty:   map[string]bool{},
		book:    newAddressBook(src.options),
		waiting: map[string]time.Time{},
	}
}

// rescan walks through the folder, reads what is new or different, and makes the
// model anew. The error is that the folder cannot be listed; the model then stays
// as it was.
func (f *folder) rescan(ctx context.Context, enter enter) error {
	_, err := f.refresh(ctx, enter, nil)
	return err
}

// refresh is rescan; the files named in read are read even if they look unchanged.
// It returns the files that it read anew, and those that are gone.
func (f *folder) refresh(ctx context.Context, enter enter, read map[string]bool) ([]string, error) {
	found, err := scan(ctx, f.root, f.options.MaxFiles, enter)
	if err != nil {
		return nil, err
	}
	f.scan, f.gone = found.problems, nil
	var again, removed []string
	for path, info := range found.files {
		old := f.states[path]
		if old == nil || read[path] || !old.stamp.same(stampOf(info)) {
			again = append(again, path)
		}
	}
	for path := range f.states {
		if _, ok := found.files[path]; !ok && !found.hides(path) {
			removed = append(removed, path)
		}
	}
	return f.update(ctx, again, removed)
}

// touch reads the named files anew and looks at no others.
func (f *folder) touch(ctx context.Context, paths []string) ([]string, error) {
	var again, removed []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular():
			again = append(again, path)
		case f.states[path] != nil:
			removed = append(removed, path)
		}
	}
	if len(removed) > 0 { // perhaps because everything is gone
		if _, err := os.Stat(f.root); err != nil {
			return nil, err
		}
	}
	return f.update(ctx, again, removed)
}

func (f *folder) update(ctx context.Context, again, removed []string) ([]string, error) {
	fresh, err := f.read(ctx, again)
	if err != nil {
		return nil, err
	}
	arrived := map[objectID]bool{}
	for path, s := range fresh {
		if f.states[path] == nil {
			s.now.each(func(e entry) { arrived[e.id()] = true })
		}
	}
	var changed []string
	for path, s := range fresh {
		if s.stamp.size == 0 && f.wait(path, arrived) {
			continue
		}
		f.replace(path, s)
		changed = append(changed, path)
	}
	for _, path := range removed {
		if f.wait(path, arrived) {
			continue
		}
		f.replace(path, nil)
		changed = append(changed, path)
	}
	for _, path := range changed {
		delete(f.waiting, path)
	}
	slices.Sort(changed)
	return changed, nil
}

// wait reports that the objects of a file are kept for a moment, though it is gone
// or empty: it may be in the middle of being written. Objects that arrived in
// another file have moved, and need no waiting.
func (f *folder) wait(path string, arrived map[objectID]bool) bool {
	waits := false
	if old := f.states[path]; old != nil {
		old.counts().each(func(e entry) { waits = waits || !arrived[e.id()] })
	}
	if !waits {
		return false
	}
	until, ok := f.waiting[path]
	if !ok {
		until = time.Now().Add(grace)
		f.waiting[path] = until
	}
	return time.Now().Before(until)
}

// replace puts what a file says now in the place of what it said before; nil if it
// is gone.
func (f *folder) replace(path string, s *state) {
	old := f.states[path]
	if old != nil {
		for namespace := range old.counts().entries {
			delete(f.members[namespace], path)
			f.dirty[namespace] = true
		}
	}
	if s == nil {
		delete(f.states, path)
		return
	}
	switch {
	case len(s.now.problems) == 0:
		s.good = s.now
	case old != nil:
		s.good = old.good
	}
	f.states[path] = s
	for namespace := range s.counts().entries {
		if f.members[namespace] == nil {
			f.members[namespace] = map[string]bool{}
		}
		f.members[namespace][path] = true
		f.dirty[namespace] = true
	}
}

// read reads files, several at a time.
func (f *folder) read(ctx context.Context, paths []string) (map[string]*state, error) {
	var mu sync.Mutex // guards fresh
	fresh := make(map[string]*state, len(paths))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(f.options.Parallel)
	for _, path := range paths {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := &state{}
			// Taken before reading: what is written meanwhile shows as a change later.
			if info, err := os.Stat(path); err == nil {
				s.stamp = stampOf(info)
			}
			s.now = f.load(path, path)
			mu.Lock()
			defer mu.Unlock()
			fresh[path] = s
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return fresh, nil
}

// remodel makes the parts anew that files changed, and returns what turns a store
// that holds what was before into one that holds what is now.
func (f *folder) remodel() mesh.Batch {
	next := map[string]*assembly{}
	var concerned []string
	dirty := slices.Sorted(maps.Keys(f.dirty))
	for _, namespace := range dirty {
		if old := f.parts[namespace]; old != nil {
			concerned = append(concerned, f.book.unreserve(old)...)
		}
	}
	for _, namespace := range dirty {
		next[namespace] = collect(f.entries(namespace), f.options, f.book)
		concerned = append(concerned, f.book.reserve(next[namespace])...)
	}
	for _, namespace := range concerned {
		if next[namespace] == nil { // nothing changed in there: its addresses are in the book
			next[namespace] = collect(f.entries(namespace), f.options, f.book)
		}
	}
	var batch mesh.Batch
	for _, namespace := range slices.Sorted(maps.Keys(next)) {
		f.rebuild(namespace, next[namespace], &batch)
	}
	slices.SortFunc(batch.Deleted, compareObjects)
	clear(f.dirty)
	return batch
}

// rebuild puts a new part in the place of the old one.
func (f *folder) rebuild(namespace string, a *assembly, batch *mesh.Batch) {
	old := f.parts[namespace]
	if len(f.members[namespace]) == 0 {
		delete(f.parts, namespace)
		delete(f.members, namespace)
	} else {
		a.assemble(namespace)
		f.parts[namespace] = a
	}
	f.book.keep(old, a)
	var before *part
	if old != nil {
		before = old.part
	}
	a.addChanges(batch, before)
}

// entries lists what the files say of a namespace, sorted by file.
func (f *folder) entries(namespace string) []entry {
	var out []entry
	for _, path := range slices.Sorted(maps.Keys(f.members[namespace])) {
		out = append(out, f.states[path].counts().entries[namespace]...)
	}
	return out
}

// skipped names each kind that is skipped once.
func (f *folder) skipped() []Skipped {
	var all []skip
	for _, s := range f.states {
		all = append(all, s.counts().skipped...)
	}
	slices.SortFunc(all, func(a, b skip) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.apiVersion, b.apiVersion),
			cmp.Compare(a.at.file, b.at.file), cmp.Compare(a.at.line, b.at.line))
	})
	var out []Skipped
	for _, s := range all {
		if last := len(out) - 1; last >= 0 && out[last].Kind == s.kind && out[last].APIVersion == s.apiVersion {
			out[last].Count++
			continue
		}
		out = append(out, Skipped{APIVersion: s.apiVersion, Kind: s.kind, Count: 1, First: s.at.String()})
	}
	return out
}

// problems lists everything that is wrong now.
func (f *folder) problems() []Problem {
	out := slices.Clone(f.scan)
	for _, a := range f.parts {
		out = append(out, a.problems...)
	}
	if f.gone != nil {
		out = append(out, *f.gone)
	}
	for _, s := range f.states {
		out = append(out, s.now.problems...)
	}
	slices.SortStableFunc(out, compareProblems)
	return out
}

// kept lists the broken files whose last good state counts.
func (f *folder) kept() []string {
	var out []string
	for path, s := range f.states {
		if len(s.now.problems) > 0 && s.good != nil {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

func (f *folder) result() Result {
	batch := f.remodel()
	return Result{Batch: batch, Problems: f.problems(), Skipped: f.skipped()}
}

// lost notes that the folder cannot be listed. Everything stays as it was.
func (f *folder) lost(err error) {
	p := unreadable(f.root, err)
	if errors.Is(err, fs.ErrNotExist) {
		p = Problem{
			Code: CodeGone, File: f.root, Message: "is gone; everything stays as it was",
			Fix: "put it back: it will be read again",
		}
	}
	f.gone = &p
}
