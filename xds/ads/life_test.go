package ads

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// TestIdleConnection: a connection without a stream is closed after a while.
func TestIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxAge: -1})
		defer w.close()
		idle := w.dial(t)
		if _, err := grpc_health_v1.NewHealthClient(idle).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		a := w.connect(t, "web-1")
		defer a.cancel()
		go a.read()
		synctest.Wait()
		if s := idle.GetState(); s != connectivity.Ready {
			t.Errorf("the connection is %s", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := idle.GetState(); s == connectivity.Ready {
			t.Errorf("after two minutes the connection is %s", s)
		}
		if n := w.srv.Stats().Proxies; n != 1 {
			t.Errorf("%d streams, want 1", n)
		}
	})
}

// TestEndLeavesNoTimer: a stream that is armed while it ends does not stay in
// the heap (and its client with it).
func TestEndLeavesNoTimer(t *testing.T) {
	w := newWorld(t, Config{})
	defer w.close()
	wire := newMemWire("web-1", func(*response) {})
	done := make(chan error, 1)
	go func() { done <- w.srv.serveWire(wire, wire, "test") }()
	wire.put(request{typ: Endpoint, known: true, subscribe: []string{"cart"}})
	s := w.srv.list()[0]
	s.mu.Lock()
	wire.cancel() // end is about to be called
	for range 10_000 {
		runtime.Gosched()
	}
	if !s.closed { // as closeBy and onTimer do
		s.arm(time.Now().Add(time.Hour))
	}
	s.mu.Unlock()
	<-done
	w.srv.timers.mu.Lock()
	defer w.srv.timers.mu.Unlock()
	if n := len(w.srv.timers.heap); n != 0 {
		t.Errorf("%d streams are left in the timers", n)
	}
}

// answeringWire answers each response: with a rejection if bad is in it.
func answeringWire(pod, bad string) (w *memWire, has func() string) {
	var mu sync.Mutex
	var last string
	w = newMemWire(pod, func(r *response) {
		answer := request{typ: r.typ, known: true, nonce: r.nonce}
		for _, it := range r.items {
			if it.v.blob.id == bad {
				answer.rejected, answer.reason = true, "bad"
				continue
			}
			mu.Lock()
			last = it.v.blob.id
			mu.Unlock()
		}
		go w.put(answer)
	})
	w.requests = make(chan request, 8)
	return w, func() string { mu.Lock(); defer mu.Unlock(); return last }
}

// TestSendErrorTellsOthers: what a stream found out for others reaches them even
// if its own client is gone before it is sent anything.
func TestSendErrorTellsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxAge: -1})
		defer w.close()
		cart := Ref{Cluster, "cart"}
		v1, v2 := versionOf(Cluster, "cart", "v1"), versionOf(Cluster, "cart", "v2")
		serve := func(wire *memWire, r request) {
			go w.srv.serveWire(wire, wire, "test")
			r.typ, r.known = Cluster, true
			wire.put(r)
			synctest.Wait()
		}
		w.src.set(cart, fakeResource{text: "v1"})
		w.src.set(Ref{Cluster, "other"}, fakeResource{text: "v1"})
		for _, pod := range []string{"web-1", "web-2"} {
			wire, _ := answeringWire(pod, v2)
			defer wire.cancel()
			serve(wire, request{subscribe: []string{"cart"}})
		}
		w.src.set(cart, fakeResource{text: "v2"})
		w.changed(cart)
		synctest.Wait()
		if !w.srv.Rollout(Key{Type: Cluster, Name: "cart"}).Quarantined {
			t.Fatal("v2 is not quarantined")
		}
		taker, has := answeringWire("web-3", "")
		defer taker.cancel()
		serve(taker, request{subscribe: []string{"cart"}})
		if has() != v1 {
			t.Fatalf("while v2 is withheld a client has %q", has())
		}
		var gone *memWire
		gone = newMemWire("web-4", func(*response) { gone.cancel() })
		serve(gone, request{subscribe: []string{"cart", "other"}, initial: map[string]string{"cart": v2}})
		if has() != v2 {
			t.Errorf("after a client came that has v2, another has %q, want %q", has(), v2)
		}
	})
}

// stepClock returns now as time.Now would after a step of the wall clock: the
// monotonic reading goes on. Package time cannot make such a time; the seconds
// are above bit 30 of its first word.
func stepClock(now time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&now)) += uint64(d/time.Second) << 30
	return now
}

// TestClockStep: a step of the wall clock is no deadline.
func TestClockStep(t *testing.T) {
	w := newWorld(t, Config{})
	defer w.close()
	wire := newMemWire("web-1", func(*response) {})
	done := make(chan error, 1)
	go func() { done <- w.srv.serveWire(wire, wire, "test") }()
	wire.put(request{typ: Endpoint, known: true, subscribe: []string{"cart"}})
	s := w.srv.list()[0]
	now := time.Now()
	if stepped := stepClock(now, time.Hour); stepped.Unix()-now.Unix() != 3600 || stepped.Sub(now) != 0 {
		t.Fatalf("the clock cannot be stepped: %s, %s", now, stepped)
	}
	s.ackSince.Store(w.srv.clock(now))
	if list := w.srv.stalled(stepClock(now, time.Hour)); len(list) != 0 {
		t.Error("a step of the clock cuts a stream off")
	}
	if list := w.srv.stalled(now.Add(time.Minute)); len(list) != 1 {
		t.Error("a client that does not answer for a minute is not cut off")
	}
	v := &version{blob: &blob{}, after: []Ref{{Secret, "peers"}}}
	s.mu.Lock()
	h, peers := s.hold(Endpoint, "cart"), s.hold(Secret, "peers")
	peers.flags |= explicit
	peers.e.state.Store(&published{cur: &version{blob: &blob{id: "1"}}})
	if !s.blocked(h, v, now) || !s.blocked(h, v, stepClock(now, time.Hour)) {
		t.Error("a step of the clock ends a wait")
	}
	if s.blocked(h, v, now.Add(time.Minute)) {
		t.Error("a wait does not end")
	}
	s.mu.Unlock()
	wire.cancel()
	<-done
}

// TestLateRefresh: the answer to an older question does not take the place of
// that to a newer one.
func TestLateRefresh(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	w := newWorld(t, Config{})
	defer w.close()
	first := true
	w.srv.cfg.Refresh = func(c *Client) *Client {
		n := *c
		if first { // one at a time, so no lock
			first = false
			asked <- struct{}{}
			<-answer
			n.Class = "old"
		} else {
			n.Class = "new"
		}
		return &n
	}
	wire := newMemWire("web-1", func(*response) {})
	done := make(chan error, 1)
	go func() { done <- w.srv.serveWire(wire, wire, "test") }()
	<-asked
	refreshed := make(chan struct{})
	go func() { defer close(refreshed); w.srv.RefreshPods(w.srv.list()[0].client.Load().Pod) }()
	for range 10_000 {
		runtime.Gosched()
	}
	close(answer)
	<-refreshed
	wire.put(request{typ: Endpoint, known: true}) // it is read once the stream has been admitted
	if c := w.srv.list()[0].client.Load(); c.Class != "new" {
		t.Errorf("the class is %v", c.Class)
	}
	wire.cancel()
	<-done
	if err := w.srv.waitEmpty(context.Background()); err != nil {
		t.Error(err)
	}
}
