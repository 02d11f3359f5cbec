package serve

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"

	"google.golang.org/grpc"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/wire"
)

// bare sends bytes that were encoded beforehand to every open stream, and reads
// and drops what comes back. Nothing that sends through grpc-go can be cheaper.
type bare struct {
	grpc *grpc.Server

	mu      sync.Mutex
	streams map[grpc.ServerStream]struct{}
	list    []grpc.ServerStream // of streams; nil after a change
	flips   []*wire.Frame
	next    int
}

func newBare(s Start, a *certs.Authority) (server, error) {
	b := &bare{streams: map[grpc.ServerStream]struct{}{}}
	if s.CaptureFile != "" {
		capture, err := drive.ReadCapture(s.CaptureFile)
		if err != nil {
			return nil, err
		}
		for _, data := range capture.Flips {
			b.flips = append(b.flips, &wire.Frame{Data: data})
		}
	}
	b.grpc = grpc.NewServer(grpcOptions(s.Kind, a)...)
	b.grpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.discovery.v3.AggregatedDiscoveryService",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    "DeltaAggregatedResources",
			ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return b.stream(stream) },
		}},
	}, b)
	return b, nil
}

func (b *bare) stream(s grpc.ServerStream) error {
	b.mu.Lock()
	b.streams[s], b.list = struct{}{}, nil
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.streams, s)
		b.list = nil
		b.mu.Unlock()
	}()
	if err := s.SendHeader(nil); err != nil {
		return err
	}
	for {
		if err := s.RecvMsg(&wire.Frame{}); err != nil {
			return err
		}
	}
}

// flip broadcasts from as many goroutines as there are processors: SendMsg only
// puts a frame into the queue of the connection's own writer.
func (b *bare) flip() error {
	if len(b.flips) < 2 {
		return fmt.Errorf("the capture holds %d changes; two are needed", len(b.flips))
	}
	b.mu.Lock()
	if b.list == nil {
		for s := range b.streams {
			b.list = append(b.list, s)
		}
	}
	all, frame := b.list, b.flips[b.next%2]
	b.next++
	b.mu.Unlock()

	shards := runtime.GOMAXPROCS(0)
	errs := make([]error, shards)
	var wg sync.WaitGroup
	for i := range shards {
		wg.Go(func() {
			for _, s := range all[len(all)*i/shards : len(all)*(i+1)/shards] {
				if err := s.SendMsg(frame); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (b *bare) serve(l net.Listener) error { return b.grpc.Serve(l) }
func (b *bare) stop()                      { b.grpc.Stop() }
