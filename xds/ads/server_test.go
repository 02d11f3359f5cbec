package ads

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestStalledReaders: 50 clients that do not read do not delay one that does;
// they are cut off after the send deadline.
func TestStalledReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AckDeadline: time.Hour})
		defer w.close()
		r := Ref{Endpoint, "cart"}
		big := strings.Repeat("x", 100<<10)
		w.src.set(r, fakeResource{text: "v0" + big})
		good := w.connect(t, "good")
		good.auto = true
		go good.read()
		good.subscribe(Endpoint, "cart")
		var stalled []*client
		for i := range 50 {
			c := w.connect(t, fmt.Sprintf("stalled-%d", i))
			c.subscribe(Endpoint, "cart")
			stalled = append(stalled, c)
		}
		synctest.Wait()
		start := time.Now()
		for i := range 10 {
			text := fmt.Sprint("v", i) + big
			w.src.set(r, fakeResource{text: text})
			w.changed(r)
			synctest.Wait()
			good.mu.Lock()
			has := good.has[r]
			good.mu.Unlock()
			if has != versionOf(Endpoint, "cart", text) {
				t.Fatalf("the client that reads has %s after change %d", has, i)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the client that reads waited %s", d)
		}
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if st := w.srv.Stats(); st.StalledCut != 50 || st.Proxies != 1 {
			t.Errorf("%d clients cut, %d left", st.StalledCut, st.Proxies)
		}
		good.cancel()
		for _, c := range stalled {
			c.cancel()
		}
		synctest.Wait()
	})
}

// TestStorm has many clients come, ask, reject, forget and go while everything
// changes: in the end each has what it asked for, in its present version.
func TestStorm(t *testing.T) {
	const clients, names, changes = 60, 12, 400
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxAge: -1})
		defer w.close()
		name := func(i int) string { return fmt.Sprintf("c%d", i) }
		for i := range names {
			w.src.set(Ref{Cluster, name(i)}, fakeResource{text: "v0", refs: []Ref{{Cluster, name((i + 1) % names / 3)}}})
		}
		var wg sync.WaitGroup
		var all []*stormClient
		for i := range clients {
			c := newStormClient(fmt.Sprintf("web-%d@web", i))
			all = append(all, c)
			go w.srv.serveWire(c.wire, c.wire, "storm")
			go c.answer()
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), 7))
				for range 100 {
					c.step(name(rng.IntN(names)), rng.IntN(3) > 0)
				}
			})
		}
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range changes {
				r := Ref{Cluster, name(rng.IntN(names))}
				w.src.set(r, fakeResource{text: fmt.Sprint("v", i), refs: []Ref{{Cluster, name(rng.IntN(names))}}})
				w.changed(r)
			}
		})
		wg.Wait()
		synctest.Wait()
		for i := range names {
			w.changed(Ref{Cluster, name(i)})
		}
		synctest.Wait()
		checkStreams(t, w.srv)
		for i, c := range all {
			c.mu.Lock()
			for n := range c.wants {
				if want := versionOf(Cluster, n, w.src.resources[Ref{Cluster, n}].text); c.has[n] != want {
					t.Errorf("client %d has %q of %s, want %q", i, c.has[n], n, want)
				}
			}
			c.mu.Unlock()
			c.wire.cancel()
		}
		synctest.Wait()
	})
}

// stormClient acknowledges in order, as Envoy does.
type stormClient struct {
	wire    *memWire
	answers chan request

	mu    sync.Mutex
	wants map[string]bool
	has   map[string]string
}

func newStormClient(token string) *stormClient {
	c := &stormClient{answers: make(chan request, 1000), wants: make(map[string]bool), has: make(map[string]string)}
	c.wire = newMemWire(token, func(r *response) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, it := range r.items {
			if n := it.h.e.key.Name; it.v.absent {
				delete(c.has, n)
			} else {
				c.has[n] = it.v.blob.id
			}
		}
		c.answers <- request{typ: r.typ, known: true, nonce: r.nonce}
	})
	return c
}

func (c *stormClient) answer() {
	for {
		select {
		case r := <-c.answers:
			c.wire.put(r)
		case <-c.wire.ctx.Done():
			return
		}
	}
}

func (c *stormClient) step(name string, subscribe bool) {
	c.mu.Lock()
	r := request{typ: Cluster, known: true}
	if subscribe {
		c.wants[name] = true
		r.subscribe = []string{name}
	} else {
		delete(c.wants, name)
		r.unsubscribe = []string{name}
	}
	c.mu.Unlock()
	c.wire.put(r)
}

func TestServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		defer w.close()
		c := w.connect(t, "web-1")
		defer c.cancel()
		health := grpc_health_v1.NewHealthClient(w.conns[0])
		check := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			r, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			if err != nil || r.GetStatus() != want {
				t.Errorf("health: %v %v, want %v", r, err, want)
			}
		}
		synctest.Wait()
		check(grpc_health_v1.HealthCheckResponse_SERVING)
		watch, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); status.Code(err) != codes.Unimplemented {
			t.Errorf("a stream that needs no token: %v", err)
		}
		sotw, err := discovery.NewAggregatedDiscoveryServiceClient(w.conns[0]).StreamAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sotw.Recv(); status.Code(err) != codes.Unimplemented {
			t.Errorf("state of the world: %v", err)
		}
		none := w.connect(t, "")
		if _, err := none.stream.Recv(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "no bearer token") {
			t.Errorf("without a token: %v", err)
		}
		if err := c.subscribe(Cluster, "cart"); err != nil { // it does not answer, so it is not idle
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("no time"))
		if err := w.srv.Drain(ctx, time.Minute); err == nil || err.Error() != "no time" {
			t.Errorf("Drain that is cut short: %v", err)
		}
		synctest.Wait()
		if n := w.srv.Stats().Proxies; n != 0 {
			t.Errorf("%d proxies are left", n)
		}
	})
}

func TestServerOptionsAreNeeded(t *testing.T) {
	w := newWorld(t, Config{})
	defer w.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	w.srv.Register(g)
	go g.Serve(l)
	defer g.Stop()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "ads.ServerOptions") {
		t.Errorf("got %v", err)
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	for _, cfg := range []Config{{}, {Source: newFakeSource()}, {Source: newFakeSource(), View: fakeView{}}} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "ads: Config.") {
			t.Errorf("New: %v", err)
		}
	}
	cfg := Config{Source: newFakeSource(), View: fakeView{}, Authenticate: fakeAuth, MaxHeld: maxRequestNames + 1}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "MaxHeld is 40001") {
		t.Errorf("New: %v", err)
	}
}
