package drive

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fairlead/fairlead/test/bench/usage"
	"github.com/fairlead/fairlead/test/bench/wire"
)

// Envoy's wait between two attempts to open the stream, as in the bootstrap.
const (
	baseBackoff = 500 * time.Millisecond
	maxBackoff  = 10 * time.Second
)

// proxy is one sidecar. After newProxy its fields belong to the goroutine in run.
type proxy struct {
	fleet *Fleet
	index int
	who   Proxy
	node  []byte
	hook  func(stage, wire.Type, wire.Response, []byte) // of the scout, else nil

	held       [wire.NumTypes]map[string]string // name to version
	subscribed [wire.NumTypes]map[string]bool
	wildcard   [wire.NumTypes]bool

	// Of the present stream.
	stream  grpc.ClientStream
	named   bool // the node has been sent
	stage   stage
	waiting map[wire.Ref]bool // asked for, not answered; the empty name stands for a wildcard
	now     *connecting
}

func newProxy(f *Fleet, index int, who Proxy) *proxy {
	node, err := proto.Marshal(&corev3.Node{
		Id: who.Node, UserAgentName: "envoy",
		ClientFeatures: []string{"envoy.lb.does_not_support_overprovisioning", "envoy.lrs.supports_send_all_clusters"},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	p := &proxy{fleet: f, index: index, who: who, node: node}
	p.forget()
	return p
}

// forget makes it a proxy that has just started.
func (p *proxy) forget() {
	for t := range wire.NumTypes {
		p.held[t] = map[string]string{}
		p.subscribed[t] = map[string]bool{}
		p.wildcard[t] = false
	}
}

// run keeps a stream open until ctx ends.
func (p *proxy) run(ctx context.Context, now *connecting) {
	p.now = now
	for attempt := 0; ; attempt++ {
		err := p.session(ctx)
		if ctx.Err() != nil {
			return
		}
		p.fleet.retries.Add(1)
		text := err.Error()
		p.fleet.lastError.Store(&text)
		if p.now == nil {
			attempt = 0
		}
		wait := time.NewTimer(rand.N(min(baseBackoff<<min(attempt, 10), maxBackoff)))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// session is one connection with one stream.
func (p *proxy) session(ctx context.Context) error {
	conn, err := p.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+p.who.Token))
	defer cancel()

	release := p.admitted(ctx)
	defer func() { release() }()
	p.stream, err = conn.NewStream(ctx, &grpc.StreamDesc{StreamName: "DeltaAggregatedResources", ClientStreams: true, ServerStreams: true},
		wire.DeltaAggregatedResources, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	p.named, p.waiting = false, map[wire.Ref]bool{}
	if err := p.open(); err != nil {
		return p.failure(err)
	}
	for {
		if p.now != nil && p.stage == synced {
			p.now.arrived(p.index)
			p.now, p.waiting = nil, nil
			release()
			release = func() {}
		}
		var frame wire.Frame
		if err := p.stream.RecvMsg(&frame); err != nil {
			return err
		}
		if err := p.receive(frame.Data, usage.Now()); err != nil {
			return p.failure(err)
		}
	}
}

// failure finds the reason for the end of the stream when a send says io.EOF only.
func (p *proxy) failure(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	return p.stream.RecvMsg(&wire.Frame{})
}

func (p *proxy) dial() (*grpc.ClientConn, error) {
	// A source address of its own for each few hundred, so that no range of ephemeral
	// ports is ever exhausted.
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+p.index%64))}}
	return grpc.NewClient("passthrough:///"+p.fleet.target.Address,
		grpc.WithTransportCredentials(p.fleet.creds),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec{}), grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithMaxHeaderListSize(64<<10),
	)
}

// admitted waits for one of the places of a connect in waves, and returns what
// gives it back.
func (p *proxy) admitted(ctx context.Context) (release func()) {
	if p.now == nil {
		return func() {}
	}
	slots := p.now.slots
	select {
	case slots <- struct{}{}:
		return func() { <-slots }
	case <-ctx.Done():
		return func() {}
	}
}

func (c *connecting) arrived(i int) {
	c.at[i] = usage.Now()
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}
