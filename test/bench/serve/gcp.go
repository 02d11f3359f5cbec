package serve

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	xdsserver "github.com/envoyproxy/go-control-plane/pkg/server/v3"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/wire"
)

// gcp is go-control-plane's delta server on one LinearCache per type, which is
// how its documentation would serve clients with different needs from shared
// resources. The resources are there from the start: it translates nothing.
type gcp struct {
	grpc      *grpc.Server
	cancel    context.CancelFunc
	endpoints *cache.LinearCache
	name      string
	flips     []types.Resource
	next      int
}

func newGCP(s Start, a *certs.Authority) (server, error) {
	capture, err := drive.ReadCapture(s.CaptureFile)
	if err != nil {
		return nil, err
	}
	byType := [wire.NumTypes]map[string]types.Resource{}
	for t := range byType {
		byType[t] = map[string]types.Resource{}
	}
	for _, r := range capture.Resources {
		if byType[r.Type][r.Name], err = unpack(r.Body); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{},
	}
	g := &gcp{name: capture.FlipName}
	for t := range wire.NumTypes {
		linear := cache.NewLinearCache(t.URL(), cache.WithInitialResources(byType[t]))
		mux.Caches[t.URL()] = linear
		if t == wire.Endpoint {
			g.endpoints = linear
		}
	}
	if g.flips, err = flipped(capture); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.grpc = grpc.NewServer(grpcOptions(s.Kind, a)...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g.grpc, xdsserver.NewServer(ctx, mux, nil))
	return g, nil
}

// flipped finds the endpoints in the captured changes.
func flipped(c drive.Capture) ([]types.Resource, error) {
	var all []types.Resource
	for _, frame := range c.Flips {
		r, err := wire.ParseResponse(frame)
		if err != nil {
			return nil, err
		}
		for _, res := range r.Resources {
			if res.Name != c.FlipName {
				continue
			}
			m, err := unpack(res.Body)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		}
	}
	return all, nil
}

func unpack(body []byte) (types.Resource, error) {
	var packed anypb.Any
	if err := proto.Unmarshal(body, &packed); err != nil {
		return nil, err
	}
	return packed.UnmarshalNew()
}

func (g *gcp) flip() error {
	if len(g.flips) < 2 {
		return fmt.Errorf("the capture holds %d changes; two are needed", len(g.flips))
	}
	g.next++
	return g.endpoints.UpdateResource(g.name, g.flips[(g.next-1)%2])
}

func (g *gcp) serve(l net.Listener) error { return g.grpc.Serve(l) }

func (g *gcp) stop() {
	g.cancel()
	g.grpc.Stop()
}
