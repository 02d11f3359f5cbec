package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/test/bench/child"
	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/serve"
	"github.com/fairlead/fairlead/test/bench/usage"
	"github.com/fairlead/fairlead/test/bench/world"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

// repeats is how many servers are started for the figures of the cold ones.
const repeats = 3

// translating measures what a Service costs the first time that a proxy asks for
// it, and the second time: as a server's CPU, and of that the translation alone.
func (b *bench) translating(ctx context.Context) error {
	var cold, cached, coldKiB, cachedKiB []float64
	for range repeats {
		first, again, err := b.asked(ctx)
		if err != nil {
			return err
		}
		n := float64(b.services)
		cold, cached = append(cold, ms(first.CPU)*1000/n), append(cached, ms(again.CPU)*1000/n)
		coldKiB, cachedKiB = append(coldKiB, float64(first.Allocated)/1024/n), append(cachedKiB, float64(again.Allocated)/1024/n)
	}
	pure, err := b.translation()
	if err != nil {
		return err
	}
	b.report.Section("a Service's cluster, endpoints and accounts, per Service")
	b.report.Add("translate_cold_us", middle(cold), "us CPU").Against("cached", middle(cached))
	b.report.Add("translate_cached_us", middle(cached), "us CPU")
	b.report.Add("translate_cold_kib", middle(coldKiB), "KiB alloc").Against("cached", middle(cachedKiB))
	b.report.Add("translate_build_us", float64(pure.NsPerOp())/1000, "us")
	b.report.Add("translate_build_allocs", float64(pure.AllocsPerOp()), "allocs")
	return nil
}

// asked has a proxy ask a new server for every Service, and then another time as
// if it had never been there.
func (b *bench) asked(ctx context.Context) (first, again usage.Usage, err error) {
	s, err := startSide(ctx, b.dir, serve.Fairlead, world.World{Services: b.services, Proxies: 40})
	if err != nil {
		return first, again, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	once := func() (used usage.Usage, err error) {
		before, err := s.settled(ctx)
		if err != nil {
			return used, err
		}
		call := drive.Scout{Index: s.world.Proxies, Timeout: patience}
		var r drive.Connected
		if err := s.drive.Call(ctx, "scout", call, &r); err != nil {
			return used, err
		}
		after, err := s.usage(ctx)
		if err != nil {
			return used, err
		}
		after.CPU -= before.CPU
		after.Allocated -= before.Allocated
		return after, s.drive.Call(ctx, "disconnect", child.None{}, nil)
	}
	if first, err = once(); err != nil {
		return first, again, err
	}
	again, err = once()
	return first, again, err
}

// translation builds and encodes, one Service after the other, what the server
// builds of it when the first proxy asks.
func (b *bench) translation() (testing.BenchmarkResult, error) {
	authority, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	w := world.World{Services: b.services, Proxies: b.proxies}
	store := mesh.NewStore(mesh.Settings{})
	store.Apply(w.Batch())
	g := xds.New(xds.Config{Authority: authority, TrustDomain: authority.TrustDomain()})
	client := g.Client(w.Pod(0))
	build := func(t ads.Type, name string) error {
		k, ok := g.Resolve(client, t, name)
		if !ok {
			return fmt.Errorf("%s %s: not resolved", t, name)
		}
		built, err := g.Build(k, store)
		if err != nil {
			return err
		}
		_, err = proto.MarshalOptions{Deterministic: true}.Marshal(built.Message)
		return err
	}
	var failed error
	result := testing.Benchmark(func(tb *testing.B) {
		tb.ReportAllocs()
		for i := range tb.N {
			s := i % w.Services
			failed = errors.Join(failed, build(ads.Cluster, w.Cluster(s)), build(ads.Endpoint, w.Endpoints(s)), build(ads.Secret, w.Peers(s)))
		}
	})
	return result, failed
}
