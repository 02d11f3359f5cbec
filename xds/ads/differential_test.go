package ads

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
)

// TestDifferential holds the server to go-control-plane's delta server (linear
// cache): after any sequence of subscriptions, changes and reconnects a client
// of either holds the same resources, and these are the ones that it ought to.
//
// What differs on purpose is left out of the sequences or does not show in what
// is held at the end: sticky resources; a name that is subscribed again is sent
// again, and one for which there is nothing is answered (go-control-plane does
// neither); "*" can be unsubscribed from after an empty first request (there it
// cannot before something is named); what a reconnecting client has and nothing needs is removed after a
// while.
func TestDifferential(t *testing.T) {
	steps := 60
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			d := newDuel(t)
			defer d.close()
			var log []string
			for range steps {
				log = append(log, d.step(rng))
				if err := d.compare(); err != nil {
					t.Fatalf("seed %d: %v\nafter:\n%s", seed, err, strings.Join(log, "\n"))
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

// duel is one client of each server, and what there is to hold.
type duel struct {
	t        *testing.T
	w        *world
	lis      *bufconn.Listener
	gcp      *grpc.Server
	linear   *cachev3.LinearCache
	exists   map[string]string // name -> text
	edits    int
	wildcard bool
	legacy   bool            // by an empty first request, and nothing has been named since
	names    map[string]bool // subscribed
	ours     *duelist
	theirs   *duelist
}

var duelNames = []string{"a", "b", "c", "d", "e"}

func newDuel(t *testing.T) *duel {
	d := &duel{
		t: t, w: newWorld(t, Config{ReportedGrace: time.Millisecond, MaxAge: -1}),
		lis: bufconn.Listen(64 << 10), gcp: grpc.NewServer(),
		linear: cachev3.NewLinearCache(typeURLs[Cluster]), exists: make(map[string]string), names: make(map[string]bool),
	}
	// A name that does not exist yet is in the wildcard as soon as it does.
	d.w.src.wildcards[Cluster] = duelNames
	discovery.RegisterAggregatedDiscoveryServiceServer(d.gcp, serverv3.NewServer(t.Context(), d.linear, nil))
	go d.gcp.Serve(d.lis)
	d.connect(rand.New(rand.NewPCG(0, 0)))
	return d
}

func (d *duel) close() {
	d.ours.conn.Close()
	d.theirs.conn.Close()
	d.w.close()
	d.gcp.Stop()
	d.lis.Close()
	synctest.Wait()
}

// connect opens new streams; the first request has all that the clients want.
func (d *duel) connect(rng *rand.Rand) {
	// A first request without names is a wildcard, so one that wants nothing cannot
	// say so.
	legacy := len(d.names) == 0 && (!d.wildcard || rng.IntN(2) == 0)
	if legacy {
		d.wildcard = true
	}
	d.legacy = legacy
	for _, p := range []struct {
		c   **duelist
		lis *bufconn.Listener
	}{{&d.ours, d.w.lis}, {&d.theirs, d.lis}} {
		var has map[string]duelHeld
		if old := *p.c; old != nil {
			old.conn.Close()
			synctest.Wait()
			has = old.has
		}
		n := newDuelist(d.t, p.lis, has)
		*p.c = n
		subscribe := slices.Sorted(maps.Keys(d.names))
		if d.wildcard && !legacy {
			subscribe = append(subscribe, "*")
		}
		initial := make(map[string]string)
		for name, h := range n.has {
			initial[name] = h.version
		}
		n.send(&discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: subscribe, InitialResourceVersions: initial})
	}
	d.settle()
}

// settle lets everything happen that is going to.
func (d *duel) settle() {
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
}

func (d *duel) step(rng *rand.Rand) string {
	name := duelNames[rng.IntN(len(duelNames))]
	defer d.settle()
	switch rng.IntN(8) {
	case 0, 1, 2:
		d.edits++
		text := fmt.Sprintf("v%d", d.edits)
		d.exists[name] = text
		d.w.src.set(Ref{Cluster, name}, fakeResource{text: text})
		d.w.changed(Ref{Cluster, name})
		if err := d.linear.UpdateResource(name, message(name, text)); err != nil {
			d.t.Fatal(err)
		}
		return "update " + name
	case 3:
		delete(d.exists, name)
		d.w.src.unset(Ref{Cluster, name})
		d.w.changed(Ref{Cluster, name})
		if err := d.linear.DeleteResource(name); err != nil {
			d.t.Fatal(err)
		}
		return "remove " + name
	case 4, 5:
		if rng.IntN(4) == 0 {
			name = "*"
			d.wildcard = true
		} else {
			d.names[name] = true
		}
		d.legacy = false
		d.both(&discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{name}}, nil)
		return "subscribe " + name
	case 6:
		if rng.IntN(3) == 0 && !d.legacy {
			name = "*"
			d.wildcard = false
		} else {
			delete(d.names, name)
		}
		d.both(&discovery.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{name}}, func(held string) bool {
			return d.wildcard || d.names[held]
		})
		return "unsubscribe " + name
	default:
		d.connect(rng)
		return "reconnect"
	}
}

// both sends r to both servers. A client forgets what it no longer subscribes to.
func (d *duel) both(r *discovery.DeltaDiscoveryRequest, keep func(string) bool) {
	for _, c := range []*duelist{d.ours, d.theirs} {
		if keep != nil {
			maps.DeleteFunc(c.has, func(name string, _ duelHeld) bool { return !keep(name) })
		}
		c.send(&discovery.DeltaDiscoveryRequest{
			ResourceNamesSubscribe: r.ResourceNamesSubscribe, ResourceNamesUnsubscribe: r.ResourceNamesUnsubscribe,
		})
	}
}

func (d *duel) compare() error {
	want := make(map[string]string)
	for name, text := range d.exists {
		if d.wildcard || d.names[name] {
			want[name] = text
		}
	}
	ours, theirs := d.ours.texts(), d.theirs.texts()
	if !maps.Equal(ours, want) {
		return fmt.Errorf("held: %v\nwant: %v\ngo-control-plane: %v", ours, want, theirs)
	}
	if !maps.Equal(ours, theirs) {
		return fmt.Errorf("go-control-plane differs, though we are right: %v\nwant: %v", theirs, want)
	}
	return nil
}

// duelist is an Envoy that follows the protocol's rules. Its state is only
// touched while its reader is at rest.
type duelist struct {
	conn   *grpc.ClientConn
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	has    map[string]duelHeld
}

type duelHeld struct{ version, text string }

func newDuelist(t *testing.T, lis *bufconn.Listener, has map[string]duelHeld) *duelist {
	conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer web-1")
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if has == nil {
		has = make(map[string]duelHeld)
	}
	d := &duelist{conn: conn, stream: stream, has: has}
	go d.read()
	return d
}

func (d *duelist) send(r *discovery.DeltaDiscoveryRequest) {
	r.TypeUrl = typeURLs[Cluster]
	d.stream.Send(r) // an error shows in what is held
}

func (d *duelist) read() {
	for {
		r, err := d.stream.Recv()
		if err != nil {
			return
		}
		for _, res := range r.GetResources() {
			var m clusterv3.Cluster
			if res.GetResource().UnmarshalTo(&m) == nil {
				d.has[res.GetName()] = duelHeld{res.GetVersion(), m.GetAltStatName()}
			}
		}
		for _, name := range r.GetRemovedResources() {
			delete(d.has, name)
		}
		d.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: r.GetNonce()})
	}
}

func (d *duelist) texts() map[string]string {
	m := make(map[string]string)
	for name, h := range d.has {
		m[name] = h.text
	}
	return m
}
