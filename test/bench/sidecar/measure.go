package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/bench/world"
)

const (
	envoys   = 3 // per figure
	requests = 20
	// settle is how long an Envoy is left alone before its memory is read: longer
	// than its allocator's and its connection pools' own timers take to come round.
	settle = 3 * time.Second
)

// Result is the anonymous memory of the caller's Envoy, in bytes.
type Result struct {
	Idle       int64 // before it called anything
	Of100      int64 // 10 destinations in use among 100 Services
	Of1000     int64
	Of10000    int64
	WithRules  int64 // the same, 1,000 of the 10,000 with rules, 1 of the 10 in use among them
	AllRuled   int64 // the same, all 10 in use among them
	PerPod     int64 // of each further destination that is a pod's address
	PodsCalled int
}

// Measure makes the lab and measures. It needs root. say is told how it goes.
func Measure(ctx context.Context, say func(format string, args ...any)) (r Result, err error) {
	b := &testbed{}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.build(ctx); err != nil {
		return r, err
	}
	in := func(first int) []netip.AddrPort {
		var list []netip.AddrPort
		for i := range world.Destinations {
			list = append(list, netip.AddrPortFrom(serviceAddress(first+i), 80))
		}
		return list
	}
	backend := pod(b.backend)
	steps := []struct {
		what  string
		apply func()
		calls []netip.AddrPort
		into  *int64
	}{
		{"idle, 100 Services", func() { b.plane.Store.Apply(services(0, 100, backend)) }, nil, &r.Idle},
		{"10 destinations among 100 Services", func() {}, in(0), &r.Of100},
		{"10 among 1,000", func() { b.plane.Store.Apply(services(100, 1000, backend)) }, in(0), &r.Of1000},
		{"10 among 10,000", func() { b.plane.Store.Apply(services(1000, 10_000, backend)) }, in(0), &r.Of10000},
		{"10 among 10,000, 1,000 of these and 1 of those with rules", func() { b.plane.Store.Apply(rules(9, 1009)) }, in(0), &r.WithRules},
		{"10 among 10,000, 1,000 of these and all of those with rules", func() { b.plane.Store.Apply(rules(0, 9)) }, in(0), &r.AllRuled},
	}
	for _, s := range steps {
		s.apply()
		held, value, err := b.median(ctx, s.calls)
		if err != nil {
			return r, err
		}
		*s.into = value
		say("Envoy, %s: %.2f MiB anonymous; it holds %v", s.what, float64(value)/(1<<20), held)
	}
	var all []netip.AddrPort
	for i := range podAddresses {
		all = append(all, netip.AddrPortFrom(podAddress(i), appPort))
	}
	grown, err := b.growth(ctx, in(0), all)
	if err != nil {
		return r, err
	}
	r.PodsCalled, r.PerPod = len(all), (grown.after-grown.before)/int64(len(all))
	say("Envoy, %d pod addresses called: %.2f MiB anonymous; it holds %v", len(all), float64(grown.after)/(1<<20), grown.held)
	return r, nil
}

// median starts some Envoys one after the other.
func (b *testbed) median(ctx context.Context, calls []netip.AddrPort) (holdings, int64, error) {
	var values []int64
	var held holdings
	for range envoys {
		g, err := b.growth(ctx, calls, nil)
		if err != nil {
			return held, 0, err
		}
		values, held = append(values, g.before), g.held
	}
	slices.Sort(values)
	return held, values[len(values)/2], nil
}

// grown is the anonymous memory of one Envoy before and after the second calls.
type grown struct {
	before, after int64
	held          holdings
}

// growth starts an Envoy, calls the first addresses, reads its memory, and again
// after calls to the rest.
func (b *testbed) growth(ctx context.Context, first, rest []netip.AddrPort) (g grown, err error) {
	envoy, err := b.startEnvoy(ctx, b.caller)
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, envoy.Kill()) }()
	client := b.caller.HTTPClient()
	defer client.CloseIdleConnections()
	for _, to := range first {
		if err := b.call(ctx, client, to, requests); err != nil {
			return g, err
		}
	}
	time.Sleep(settle)
	if g.before, err = envoy.MemoryAnon(); err != nil {
		return g, err
	}
	g.after = g.before
	if len(rest) > 0 {
		for _, to := range rest {
			if err := b.call(ctx, client, to, 1); err != nil {
				return g, err
			}
		}
		time.Sleep(settle)
		if g.after, err = envoy.MemoryAnon(); err != nil {
			return g, err
		}
	}
	g.held, err = held(ctx, envoy)
	return g, err
}

// holdings is what an Envoy has been given: it tells that the memory which was
// read is that of an Envoy with rules, or without.
type holdings struct{ clusters, virtualHosts int }

func (h holdings) String() string {
	return fmt.Sprintf("%d clusters and %d virtual hosts", h.clusters, h.virtualHosts)
}

// held asks the Envoy itself, after its memory was read: the answer takes some.
func held(ctx context.Context, envoy *lab.Envoy) (holdings, error) {
	dump, err := envoy.Admin(ctx, "/config_dump")
	if err != nil {
		return holdings{}, err
	}
	return holdings{
		clusters:     bytes.Count(dump, []byte(`type.googleapis.com/envoy.config.cluster.v3.Cluster"`)),
		virtualHosts: bytes.Count(dump, []byte(`"name": "outbound/`)),
	}, nil
}
