package ads

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
)

// memWire is a stream without gRPC: the test puts requests in, and sees the
// responses as they are sent.
type memWire struct {
	ctx      context.Context
	cancel   context.CancelFunc
	requests chan request
	sent     func(*response)
}

func newMemWire(token string, sent func(*response)) *memWire {
	ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", "Bearer "+token))
	ctx, cancel := context.WithCancel(ctx)
	return &memWire{ctx: ctx, cancel: cancel, requests: make(chan request), sent: sent}
}

func (w *memWire) Context() context.Context { return w.ctx }

func (w *memWire) SendMsg(m any) error { w.sent(m.(*response)); return w.ctx.Err() }

func (w *memWire) RecvMsg(m any) error {
	select {
	case r := <-w.requests:
		*m.(*request) = r
		return nil
	case <-w.ctx.Done():
		return io.EOF
	}
}

func (w *memWire) close() { w.cancel() }
func (w *memWire) abort() { w.cancel() }

// put delivers r unless the stream has ended.
func (w *memWire) put(r request) bool {
	select {
	case w.requests <- r:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// FuzzStream throws arbitrary requests and changes at a stream: nothing panics,
// the state stays bounded, and in the end nothing is left behind.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte("subscribe, change, answer, reject, change again and go away"))
	f.Add([]byte{9, 0, 9, 1, 9, 2, 200, 17, 3, 3, 250, 18, 1, 0, 255, 7, 7, 7, 33, 66, 99, 132})
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) { fuzzStream(t, script) })
	})
}

const fuzzMaxHeld = 24

func fuzzStream(t *testing.T, script []byte) {
	if len(script) > 400 {
		script = script[:400]
	}
	w := newWorld(t, Config{MaxHeld: fuzzMaxHeld, StickyLimit: 4, CacheSize: 4})
	defer w.close()
	var mu sync.Mutex
	var sent []*response
	wire := newMemWire("web-1@web", func(r *response) {
		mu.Lock()
		sent = append(sent, r)
		mu.Unlock()
	})
	ended := make(chan error, 1)
	go func() {
		ended <- w.srv.serveWire(wire, wire, "fuzz")
		wire.cancel()
	}()

	names := []string{"a", "b", "r/a", "r/b", "10.0.0.1:80", "10.0.0.2:80", "mine", "no", "v", "*", "r", ""}
	next := func() (b int) {
		if len(script) > 0 {
			b = int(script[0])
			script = script[1:]
		}
		return b
	}
	ref := func() Ref { n := next(); return Ref{Type(n % int(numTypes)), names[n/8%9]} }
	for len(script) > 0 {
		switch op := next(); op % 8 {
		case 0, 1: // subscribe
			r := request{typ: Type(op / 8 % int(numTypes)), known: true}
			for n := next() % 4; n > 0; n-- {
				r.subscribe = append(r.subscribe, names[next()%len(names)])
			}
			if op%8 == 1 {
				name := names[next()%9]
				r.initial = map[string]string{name: versionOf(r.typ, name, fmt.Sprint(next()%3))}
			}
			wire.put(r)
		case 2: // unsubscribe
			wire.put(request{typ: Type(op / 8 % int(numTypes)), known: true, unsubscribe: []string{names[next()%len(names)]}})
		case 3, 4: // answer
			mu.Lock()
			r := request{typ: Type(next() % int(numTypes)), known: true, nonce: uint64(next())}
			if len(sent) > 0 && op < 200 {
				x := sent[next()%len(sent)]
				r.typ, r.nonce = x.typ, x.nonce
			}
			mu.Unlock()
			r.rejected = op%8 == 4
			wire.put(r)
		case 5: // a change
			r := ref()
			w.src.set(r, fakeResource{text: fmt.Sprint(next() % 3), refs: []Ref{ref(), ref()}, after: []Ref{ref()}})
			w.changed(r)
		case 6:
			r := ref()
			w.src.unset(r)
			w.changed(r)
		case 7:
			switch op / 8 % 4 {
			case 0:
				time.Sleep(time.Duration(next()) * 100 * time.Millisecond)
			case 1:
				w.setClass("web-1", fmt.Sprint(next()%2))
			case 2:
				w.src.mu.Lock()
				w.src.wildcards[Type(next()%int(numTypes))] = []string{names[next()%9]}
				w.src.mu.Unlock()
			case 3:
				w.srv.Reissue(func(*Client, Key) bool { return true })
			}
		}
		synctest.Wait()
		checkStreams(t, w.srv)
	}
	wire.cancel()
	<-ended
	synctest.Wait()
	held, _ := w.srv.cache.sizes()
	if st := w.srv.Stats(); st.Proxies != 0 || held != 0 || st.CachedEntries > 4 {
		t.Errorf("left behind: %d proxies, %d entries held, %d cached", st.Proxies, held, st.CachedEntries)
	}
	w.srv.cache.mu.Lock()
	for k, e := range w.srv.cache.entries {
		if e.pins != 0 || len(e.holders) != 0 {
			t.Errorf("%s: %d pins, %d holders", k, e.pins, len(e.holders))
		}
	}
	w.srv.cache.mu.Unlock()
}

// checkStreams checks what must hold of every stream at rest.
func checkStreams(t *testing.T, srv *Server) {
	for _, s := range srv.list() {
		s.mu.Lock()
		count, sticky := 0, 0
		refs := make(map[Ref]int32)
		for ty := range s.sets {
			for i, h := range s.sets[ty] {
				count++
				if h.e.sticky && !h.is(spill) {
					sticky++
				}
				if h.is(dead) || i > 0 && s.sets[ty][i-1].e.key.Name >= h.e.key.Name {
					t.Errorf("%s: out of order, or dead", h.ref())
				}
				if h.e.holders[h.pos] != h {
					t.Errorf("%s: not a holder of its entry", h.ref())
				}
				if h.ext != nil {
					for _, v := range h.ext.counted {
						for _, r := range v.refs {
							refs[r]++
						}
					}
					if len(h.ext.counted) > 2*Cluster.window()+4 {
						t.Errorf("%s: counts %d versions", h.ref(), len(h.ext.counted))
					}
				}
			}
		}
		for r, n := range refs {
			if h := s.get(r); h == nil && s.missing[r] != n || h != nil && h.refs != n {
				t.Errorf("%s: %d references, counted otherwise (%v), missing %d", r, n, h, s.missing[r])
			}
		}
		for ty := range s.sets {
			for _, h := range s.sets[ty] {
				if h.refs != refs[h.ref()] {
					t.Errorf("%s: %d references, counted %d", h.ref(), refs[h.ref()], h.refs)
				}
			}
		}
		if count != s.count || sticky != s.sticky || count > srv.cfg.MaxHeld {
			t.Errorf("%d resources, %d sticky, counted %d and %d", count, sticky, s.count, s.sticky)
		}
		if n := len(s.inflight); n > 6*4 {
			t.Errorf("%d responses under way", n)
		}
		s.mu.Unlock()
	}
}
