package manifests

import (
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
	model  *model
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
	return &folder{source: newSource(o), root: filepath.Clean(root), states: map[string]*state{}, model: &model{}, waiting: map[string]time.Time{}}
}

// rescan walks through the folder, reads what is new or different, and makes the
// model anew. The error is that the folder cannot be listed; the model then stays
// as it was.
func (f *folder) rescan(ctx context.Context, enter func(dir string)) error {
	_, err := f.refresh(ctx, enter, nil)
	return err
}

// refresh is rescan; the files named in read are read even if they look unchanged.
// It returns the files that it read anew, and those that are gone.
func (f *folder) refresh(ctx context.Context, enter func(dir string), read map[string]bool) ([]string, error) {
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
		if _, ok := found.files[path]; !ok {
			removed = append(removed, path)
		}
	}
	return f.update(ctx, again, removed)
}

// touch reads the named files anew and looks at no others.
func (f *folder) touch(ctx context.Context, paths []string) ([]string, error) {
	var again, removed []string
	for _, path := range paths {
		_, err := os.Stat(path)
		switch {
		case err == nil:
			again = append(again, path)
		case f.states[path] != nil:
			removed = append(removed, path)
		}
	}
	return f.update(ctx, again, removed)
}

func (f *folder) update(ctx context.Context, again, removed []string) ([]string, error) {
	fresh, err := f.read(ctx, again)
	if err != nil {
		return nil, err
	}
	var changed []string
	// What comes together with a new file has moved there. Alone, a file that is gone
	// or empty may be in the middle of being written.
	moved := false
	for path := range fresh {
		moved = moved || f.states[path] == nil
	}
	for path, s := range fresh {
		if s.stamp.size == 0 && !moved && f.wait(path) {
			continue
		}
		f.replace(path, s)
		changed = append(changed, path)
	}
	for _, path := range removed {
		if !moved && f.wait(path) {
			continue
		}
		delete(f.states, path)
		changed = append(changed, path)
	}
	for _, path := range changed {
		delete(f.waiting, path)
	}
	slices.Sort(changed)
	return changed, nil
}

// wait reports that the objects of a file are kept for a moment, though it seems to
// have none now.
func (f *folder) wait(path string) bool {
	old := f.states[path]
	if old == nil || len(old.counts().entries) == 0 {
		return false
	}
	until, ok := f.waiting[path]
	if !ok {
		until = time.Now().Add(grace)
		f.waiting[path] = until
	}
	return time.Now().Before(until)
}

// replace puts what a file says now in the place of what it said before.
func (f *folder) replace(path string, s *state) {
	switch old := f.states[path]; {
	case len(s.now.problems) == 0:
		s.good = s.now
	case old != nil:
		s.good = old.good
	}
	f.states[path] = s
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

// remodel makes the model of what the files say now, and returns what is to be
// applied to a store that holds the model before it.
func (f *folder) remodel() mesh.Batch {
	var before *model
	if f.model.services != nil {
		before = f.model
	}
	next := assemble(f.files(), f.options, before)
	batch := next.since(f.model)
	f.model = next
	return batch
}

// files lists what counts, sorted by path.
func (f *folder) files() []*file {
	var out []*file
	for _, path := range slices.Sorted(maps.Keys(f.states)) {
		out = append(out, f.states[path].counts())
	}
	return out
}

// problems lists everything that is wrong now.
func (f *folder) problems() []Problem {
	out := slices.Concat(f.model.problems, f.scan)
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
	return Result{Batch: batch, Problems: f.problems(), Skipped: skippedOf(f.files())}
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
