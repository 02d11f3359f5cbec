package ads

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/mesh"
)

// Server serves delta xDS over aggregated streams. Make one with New, register
// it on a grpc.Server that was made with ServerOptions, and keep Run running.
// All methods are safe for concurrent use.
type Server struct {
	// Set once.
	cfg      Config
	start    time.Time // see clock
	source   Source
	overflow func(Key) Key // nil if the source bounds nothing
	log      *slog.Logger
	index    *index
	cache    *cache
	builder  *builder
	blobs    blobs
	scopes   *scopes
	timers   *timers
	health   *health.Server
	authSem  *semaphore.Weighted
	syncSem  *semaphore.Weighted
	issueSem *semaphore.Weighted
	pace     chan struct{} // tells a paced publish that senders have finished

	// Atomic.
	stats    counters
	lastID   atomic.Uint64
	sending  atomic.Int64 // senders at work
	pacing   atomic.Bool  // a publish waits on pace
	draining atomic.Bool  // new streams are refused

	wg sync.WaitGroup // workers, senders, issuers

	mu      sync.Mutex // guards:
	streams map[uint64]*stream
	pods    podIndex
	closed  bool
	empty   chan struct{} // closed when the last stream is gone; nil if nobody waits
}

// New returns a Server that serves what cfg.Source makes. It does nothing until
// Run is called.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	srv := &Server{
		cfg:      cfg,
		start:    time.Now(),
		source:   cfg.Source,
		log:      cfg.Log,
		index:    newIndex(),
		scopes:   newScopes(cfg.ScopeWorkloads, cfg.ScopeNames),
		timers:   newTimers(),
		health:   health.NewServer(),
		authSem:  semaphore.NewWeighted(int64(cfg.AuthConcurrency)),
		syncSem:  semaphore.NewWeighted(int64(cfg.SyncConcurrency)),
		issueSem: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		pace:     make(chan struct{}, 1),
		streams:  make(map[uint64]*stream),
		pods:     newPodIndex(),
	}
	if o, ok := cfg.Source.(Overflower); ok {
		srv.overflow = o.Overflow
	}
	srv.cache = newCache(cfg.Source, srv.index, cfg.CacheSize)
	srv.builder = newBuilder(srv)
	srv.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	return srv, nil
}

// Run builds and sends until ctx ends, then cuts all streams and waits for its
// goroutines. It returns the cause of the end of ctx. It may be called once.
func (srv *Server) Run(ctx context.Context) error {
	for i := range srv.cfg.Workers {
		srv.wg.Go(func() { srv.builder.work(i == 0) })
	}
	srv.wg.Go(func() { srv.timers.run(ctx) })
	srv.wg.Go(func() { srv.watchdog(ctx) })
	srv.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	<-ctx.Done()
	srv.draining.Store(true)
	srv.health.Shutdown()
	srv.builder.close()
	srv.mu.Lock()
	srv.closed = true
	srv.mu.Unlock()
	for _, s := range srv.list() {
		s.cut()
	}
	srv.waitEmpty(context.Background())
	srv.wg.Wait()
	return context.Cause(ctx)
}

// adsHandler is what grpc checks a registered service against.
type adsHandler interface {
	serve(grpc.ServerStream) error
}

// Register puts the aggregated discovery service and the health service on g.
func (srv *Server) Register(g grpc.ServiceRegistrar) {
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.discovery.v3.AggregatedDiscoveryService",
		HandlerType: (*adsHandler)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "DeltaAggregatedResources",
			Handler:       func(h any, g grpc.ServerStream) error { return h.(adsHandler).serve(g) },
			ServerStreams: true,
			ClientStreams: true,
		}, {
			StreamName: "StreamAggregatedResources",
			Handler: func(any, grpc.ServerStream) error {
				return status.Error(codes.Unimplemented, "only delta xDS is served; use api_type: DELTA_GRPC")
			},
			ServerStreams: true,
			ClientStreams: true,
		}},
		Metadata: "envoy/service/discovery/v3/ads.proto",
	}, srv)
	grpc_health_v1.RegisterHealthServer(g, checkOnly{srv.health})
}

// checkOnly is a health service without Watch: a stream that needs no token would
// keep a connection open for good.
type checkOnly struct{ grpc_health_v1.HealthServer }

func (checkOnly) Watch(*grpc_health_v1.HealthCheckRequest, grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	return status.Error(codes.Unimplemented, "only Check is served")
}

// Changed tells the server which values of the mesh changed. They must be
// visible in Config.View already. Resources that were built from them and are
// held by someone are built anew; the others are forgotten.
func (srv *Server) Changed(keys []mesh.Key) {
	if len(keys) == 0 {
		return
	}
	srv.builder.enqueue(srv.cache.stale(srv.index.changed(keys))...)
}

var errClosed = errors.New("the server is closed")

// register makes s known. An older stream of the same pod is cut off: whatever
// holds it, the pod has one. It fails once the server is closed.
func (srv *Server) register(s *stream) error {
	srv.mu.Lock()
	if srv.closed {
		srv.mu.Unlock()
		return errClosed
	}
	srv.streams[s.id] = s
	older := srv.pods.add(s)
	srv.mu.Unlock()
	if older != nil {
		srv.stats.replaced.Add(1)
		srv.log.Debug("a stream is cut off: its pod has opened another", "client", older.label(), "remote", older.remote, "other", s.remote)
		older.cut()
	}
	return nil
}

func (srv *Server) unregister(s *stream) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.streams, s.id)
	srv.pods.remove(s)
	if len(srv.streams) == 0 && srv.empty != nil {
		close(srv.empty)
		srv.empty = nil
	}
}

// list returns the present streams.
func (srv *Server) list() []*stream {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	list := make([]*stream, 0, len(srv.streams))
	for _, s := range srv.streams {
		list = append(list, s)
	}
	return list
}

// waitEmpty waits until there is no stream.
func (srv *Server) waitEmpty(ctx context.Context) error {
	for {
		srv.mu.Lock()
		if len(srv.streams) == 0 {
			srv.mu.Unlock()
			return nil
		}
		if srv.empty == nil {
			srv.empty = make(chan struct{})
		}
		empty := srv.empty
		srv.mu.Unlock()
		select {
		case <-empty:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// publish makes v the newest version of e and tells the holders. With paced it
// does so in portions and lets the senders catch up, so that a change that
// concerns everyone does not delay an endpoint. list is scratch space.
func (srv *Server) publish(e *entry, v *version, paced bool, list []*held) []*held {
	list = e.publish(v, list)
	e.moved()
	for i, h := range list {
		h.s.touch(h)
		if paced && i%pacePortion == pacePortion-1 {
			srv.letSend()
		}
	}
	return list
}

const (
	// pacePortion is how many streams are given something heavy to send at once.
	pacePortion = 128
	// paceWait bounds the wait for them, so that clients that stall delay nobody.
	paceWait = 20 * time.Millisecond
)

// letSend waits until most senders are done, for paceWait at most. Two heavy
// workers may wait at once; then one of them may wait for longer than it needs.
func (srv *Server) letSend() {
	if srv.sending.Load() < pacePortion {
		return
	}
	srv.pacing.Store(true)
	defer srv.pacing.Store(false)
	t := time.NewTimer(paceWait)
	defer t.Stop()
	for srv.sending.Load() >= pacePortion {
		select {
		case <-srv.pace:
		case <-t.C:
			return
		}
	}
}

// sent notes that a sender has finished.
func (srv *Server) sent() {
	if srv.sending.Add(-1) < pacePortion && srv.pacing.Load() {
		select {
		case srv.pace <- struct{}{}:
		default:
		}
	}
}
