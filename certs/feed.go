package certs

import (
	"context"
	"sync"
)

// feed hands the latest Bundle to whoever subscribes. Nothing queues: a subscriber
// that is slow finds the latest value and misses those in between.
type feed struct {
	mu sync.Mutex
	// Under mu.
	last  Bundle
	stage string
	subs  map[chan Bundle]struct{}
}

// publish makes b the latest, if it or the stage differs from the last one.
func (f *feed) publish(b Bundle, stage string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.Equal(f.last) && stage == f.stage {
		return
	}
	f.last, f.stage = b, stage
	for c := range f.subs {
		replace(c, b)
	}
}

// subscribe returns a channel that holds the present value, then each later one.
func (f *feed) subscribe(ctx context.Context) <-chan Bundle {
	c := make(chan Bundle, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subs == nil {
		f.subs = map[chan Bundle]struct{}{}
	}
	f.subs[c] = struct{}{}
	c <- f.last
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, c)
		close(c)
	})
	return c
}

// replace puts b into c, in place of what nobody has taken yet. Only the holder
// of feed.mu sends, so the second send cannot block.
func replace(c chan Bundle, b Bundle) {
	select {
	case <-c:
	default:
	}
	c <- b
}
