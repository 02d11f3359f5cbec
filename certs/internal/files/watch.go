package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the folders must be quiet before a change is looked at: a
	// tool that replaces three files should be seen once.
	settle = 20 * time.Millisecond
	// maxSettle bounds the wait in a folder that is never quiet.
	maxSettle = 500 * time.Millisecond
	// poll finds what no event told: a folder that was replaced, a symbolic link into
	// a folder that is not watched, a full event queue.
	poll = 15 * time.Second
)

// Watch calls changed, on one goroutine, whenever one of the files may have
// changed, until ctx ends. It watches the files' folders, not the files, so that
// a rename over the file and the swap of a "..data" link (how the kubelet updates a
// volume) are seen. Changed is called once at the start and now and then without
// cause: it must compare for itself.
func Watch(ctx context.Context, paths []string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %v: %w; raise fs.inotify.max_user_instances if it is used up", paths, err)
	}
	defer w.Close()
	var dirs []string
	for _, p := range paths {
		dirs = append(dirs, filepath.Dir(p))
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)

	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	quiet := time.NewTimer(0) // the first call
	defer quiet.Stop()
	var since time.Time // of the first event that changed has not been called for
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			if since.IsZero() {
				since = time.Now()
			}
			quiet.Reset(min(settle, maxSettle-time.Since(since)))
			continue
		case <-w.Errors: // a full queue, most likely: look
		case <-ticker.C:
		case <-quiet.C:
		}
		since = time.Time{}
		// Adding a folder twice does nothing; one that is missing now may be back at the
		// next turn, and changed will say what is wrong with its files.
		for _, d := range dirs {
			_ = w.Add(d)
		}
		changed()
	}
}
