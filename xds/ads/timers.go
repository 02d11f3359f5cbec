package ads

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// timers wakes streams. Each stream has one place in it, for the earliest of
// all that it waits for; one goroutine serves them all.
type timers struct {
	mu      sync.Mutex // guards:
	heap    timerHeap
	earlier chan struct{} // the first of the heap is earlier than before
}

func newTimers() *timers { return &timers{earlier: make(chan struct{}, 1)} }

// arm has s woken at the time, or before.
func (s *stream) arm(at time.Time) { s.srv.timers.arm(s, at) }

func (t *timers) arm(s *stream, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.timerAt.IsZero():
		s.timerAt = at
		heap.Push(&t.heap, s)
	case at.Before(s.timerAt):
		s.timerAt = at
		heap.Fix(&t.heap, s.timerIndex)
	default:
		return
	}
	if t.heap[0] == s {
		select {
		case t.earlier <- struct{}{}:
		default:
		}
	}
}

// remove forgets s.
func (t *timers) remove(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.timerAt.IsZero() {
		heap.Remove(&t.heap, s.timerIndex)
		s.timerAt = time.Time{}
	}
}

// due takes out what is due, and says how long it is to the next.
func (t *timers) due(now time.Time, list []*stream) (_ []*stream, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.heap) > 0 {
		s := t.heap[0]
		if wait := s.timerAt.Sub(now); wait > 0 {
			return list, wait
		}
		heap.Pop(&t.heap)
		s.timerAt = time.Time{}
		list = append(list, s)
	}
	return list, time.Hour
}

func (t *timers) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var list []*stream
	for {
		now := time.Now()
		var next time.Duration
		list, next = t.due(now, list[:0])
		for _, s := range list {
			s.onTimer(now)
		}
		clear(list)
		if len(list) > 0 {
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-t.earlier:
		case <-ctx.Done():
			return
		}
	}
}

// onTimer looks at everything that s may have waited for, and arms what is left.
func (s *stream) onTimer(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.syncing {
		if now.Before(s.syncUntil) {
			s.arm(s.syncUntil)
		} else {
			s.synced()
		}
	}
	if !s.reportedUntil.IsZero() {
		if now.Before(s.reportedUntil) {
			s.arm(s.reportedUntil)
		} else {
			s.dropReported(now)
		}
	}
	s.renew(now)
	s.checkAge(now)
	s.kick() // whatever waited for too long
}

// timerHeap implements heap.Interface.
type timerHeap []*stream

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].timerAt.Before(h[j].timerAt) }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timerIndex, h[j].timerIndex = i, j
}

func (h *timerHeap) Push(x any) {
	s := x.(*stream)
	s.timerIndex = len(*h)
	*h = append(*h, s)
}

func (h *timerHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
