package manifests

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fairlead/fairlead/mesh"
)

// Report says what one reload did.
type Report struct {
	// Read lists the files that were read anew, and those that are gone.
	Read []string
	// Kept lists the broken files whose last good state still counts.
	Kept []string
	// Problems and Skipped are all that stand now, not only the new ones.
	Problems []Problem
	Skipped  []Skipped
	// Keys are what Store.Apply returned: what is different now.
	Keys []mesh.Key
	// Took is the time from the first word of the change to the end of Apply, without
	// the time in which the writer of the files was waited for.
	Took time.Duration
}

const (
	// quiet is how long a folder has to be quiet before it is read: an editor writes
	// a file in several steps. It is not waited for longer than patience.
	quiet    = 5 * time.Millisecond
	patience = 50 * time.Millisecond
	// grace is how long a file may be gone or empty before its objects go: programs
	// that do not write atomically leave such a gap.
	grace = 100 * time.Millisecond
	// rescan is how often the folder is walked through without a word from the
	// kernel, which has none for some file systems.
	rescan = 30 * time.Second
)

// Watch loads a file or folder into the store and keeps the store up to date until
// ctx ends; it then returns nil. A change of files becomes one batch. A broken file
// keeps the last good state of that file, and a folder that is gone that of all.
// onReload is called after the first load and after each change, one call at a
// time, by the goroutine that Watch was called on. The store must have no other
// writer of the same objects.
//
// The error is that there is nothing to load at the start, or that the kernel
// offers no watch.
func Watch(ctx context.Context, path string, o Options, store *mesh.Store, onReload func(Report)) error {
	kernel, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("manifests: %s cannot be watched: %w", path, err)
	}
	defer kernel.Close()
	w := &watcher{
		folder:   newFolder(path, o),
		dirs:     newDirectories(path, kernel),
		store:    store,
		onReload: onReload,
		changed:  map[string]bool{},
	}
	start := time.Now()
	read, err := w.refresh(ctx, w.dirs.enter, nil)
	if err != nil {
		return fmt.Errorf("manifests: %w", err)
	}
	w.scanned = time.Now()
	w.apply(start, read)
	return w.run(ctx, kernel)
}

// watcher keeps a store up to date with a folder. It belongs to one goroutine.
type watcher struct {
	*folder
	dirs     *directories
	store    *mesh.Store
	onReload func(Report)

	// What the kernel told since the last reload.
	changed map[string]bool // manifests
	all     bool            // something whose effect only a walk can tell
	first   time.Time       // when the first word came
	last    time.Time       // and the last one

	loaded   bool      // once
	scanned  time.Time // the last walk
	reported []Problem
}

func (w *watcher) run(ctx context.Context, kernel *fsnotify.Watcher) error {
	timer := time.NewTimer(time.Until(w.due()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-kernel.Events:
			w.note(event)
		case <-kernel.Errors: // events were lost
			w.all = true
			w.heard()
		case <-timer.C:
			w.reload(ctx)
		}
		timer.Reset(time.Until(w.due()))
	}
}

// due is when there is something to do next.
func (w *watcher) due() time.Time {
	due := w.scanned.Add(rescan)
	earlier := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	for _, t := range w.waiting {
		earlier(t)
	}
	if w.pending() {
		earlier(w.last.Add(quiet))
		earlier(w.first.Add(patience))
	}
	return due
}

func (w *watcher) pending() bool { return w.all || len(w.changed) > 0 }

func (w *watcher) heard() {
	w.last = time.Now()
	if w.first.IsZero() {
		w.first = w.last
	}
}

// note remembers what an event is about.
func (w *watcher) note(e fsnotify.Event) {
	manifests, tree := w.dirs.judge(e)
	for _, path := range manifests {
		if e.Op != fsnotify.Chmod || w.broken(path) {
			w.changed[path] = true
		}
	}
	w.all = w.all || tree
	if w.pending() {
		w.heard()
	}
}

// broken reports that a file has problems; new permissions may mend that.
func (w *watcher) broken(path string) bool {
	s := w.states[path]
	return s == nil || len(s.now.problems) > 0
}

// reload reads what changed and applies it.
func (w *watcher) reload(ctx context.Context) {
	start := time.Now()
	read, err := w.reread(ctx, start)
	clear(w.changed)
	w.all, w.first = false, time.Time{}
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		w.lost(err)
		clear(w.waiting) // what went with the folder stays for now
	}
	w.apply(start, read)
}

func (w *watcher) reread(ctx context.Context, now time.Time) ([]string, error) {
	if !w.all && now.Sub(w.scanned) < rescan {
		paths := make([]string, 0, len(w.changed)+len(w.waiting))
		for path := range w.changed {
			paths = append(paths, path)
		}
		for path := range w.waiting {
			paths = append(paths, path)
		}
		slices.Sort(paths)
		return w.touch(ctx, slices.Compact(paths))
	}
	w.scanned = now
	w.dirs.begin()
	read, err := w.refresh(ctx, w.dirs.enter, w.changed)
	if err == nil {
		w.dirs.end()
	}
	return read, err
}

// apply brings the store up to date and reports, if there is anything to say.
func (w *watcher) apply(start time.Time, read []string) {
	first := !w.loaded
	w.loaded = true
	var keys []mesh.Key
	if first || len(read) > 0 {
		if batch := w.remodel(); !batch.Empty() {
			keys = w.store.Apply(batch)
		}
	}
	problems := slices.Concat(w.problems(), w.dirs.problems)
	if !first && len(read) == 0 && slices.Equal(problems, w.reported) {
		return
	}
	w.reported = problems
	w.onReload(Report{
		Read: read, Kept: w.kept(), Problems: problems, Skipped: w.skipped(),
		Keys: keys, Took: time.Since(start),
	})
}
