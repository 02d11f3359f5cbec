package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Await says which resource is about to change.
type Await struct {
	Name    string        `json:"name"` // a ClusterLoadAssignment
	Count   int           `json:"count"`
	Timeout time.Duration `json:"timeout"`
}

// Arrivals are readings of usage.Now at the proxies.
type Arrivals struct {
	First, Median, P99, Last int64
}

// flip is one change under way.
type flip struct {
	name string
	left atomic.Int64
	done chan struct{}
	at   []int64 // by proxy; 0 until the change has arrived there
}

// Arm makes the proxies look out for the next version of a resource.
func (f *Fleet) Arm(a Await) {
	now := &flip{name: a.Name, done: make(chan struct{}), at: make([]int64, len(f.proxies))}
	now.left.Store(int64(a.Count))
	f.flip.Store(now)
}

// Await waits until the change has arrived at as many proxies as Arm said.
func (f *Fleet) Await(ctx context.Context, a Await) (Arrivals, error) {
	now := f.flip.Load()
	if now == nil {
		return Arrivals{}, errors.New("not armed")
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	select {
	case <-now.done:
	case <-ctx.Done():
		return Arrivals{}, fmt.Errorf("the change of %s had not reached %d of %d proxies after %v", now.name, now.left.Load(), a.Count, a.Timeout)
	}
	f.flip.Store(nil)
	at := slices.DeleteFunc(now.at, func(t int64) bool { return t == 0 })
	slices.Sort(at)
	n := len(at)
	return Arrivals{First: at[0], Median: at[n/2], P99: at[n*99/100], Last: at[n-1]}, nil
}

// arrived notes that proxy i got the resource of that name in a new version.
func (w *flip) arrived(i int, name string, at int64) {
	if w == nil || name != w.name || w.at[i] != 0 {
		return
	}
	w.at[i] = at
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
}
