package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/report"
	"github.com/fairlead/fairlead/test/bench/serve"
	"github.com/fairlead/fairlead/test/bench/world"
)

// bench is one run.
type bench struct {
	options
	dir    string
	report *report.Report
}

func (b *bench) wants(parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(b.parts, p) })
}

func (b *bench) run(ctx context.Context) error {
	if b.wants("flip", "idle", "reconnect") {
		if err := b.servers(ctx); err != nil {
			return err
		}
	}
	if b.wants("idle") && b.crowd > 0 {
		if err := b.crowded(ctx); err != nil {
			return err
		}
	}
	if b.wants("translate") {
		if err := b.translating(ctx); err != nil {
			return err
		}
	}
	if b.wants("envoy") {
		return b.sidecars(ctx)
	}
	return nil
}

// servers runs what is measured on the same servers and their proxies: all of
// them are there at the same time, and only one works at a time.
func (b *bench) servers(ctx context.Context) (err error) {
	kinds := []serve.Kind{serve.Fairlead, serve.GCP, serve.Bare}
	if b.wants("flip") {
		kinds = append(kinds, serve.GCPDefaults)
	}
	sides := map[serve.Kind]*side{}
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.close())
		}
	}()
	w := world.World{Services: b.services, Proxies: b.proxies}
	for _, kind := range kinds {
		s, err := b.peopled(ctx, kind, w)
		if err != nil {
			return err
		}
		sides[kind] = s
	}
	if b.wants("idle") {
		b.reportIdle(w.Proxies, sides)
	}
	if b.wants("flip") {
		if err := b.flipping(ctx, kinds, sides); err != nil {
			return err
		}
	}
	if b.wants("reconnect") {
		return b.reconnecting(ctx, sides)
	}
	return nil
}

// peopled starts a server and lets all its proxies come.
func (b *bench) peopled(ctx context.Context, kind serve.Kind, w world.World) (*side, error) {
	s, err := startSide(ctx, b.dir, kind, w)
	if err != nil {
		return nil, err
	}
	if err := b.people(ctx, s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (b *bench) people(ctx context.Context, s *side) (err error) {
	kind, w := s.kind, s.world
	if kind == serve.Fairlead && w.Proxies == b.proxies {
		if err := s.scout(ctx, b.dir); err != nil {
			return err
		}
	}
	if s.empty, err = s.settled(ctx); err != nil {
		return err
	}
	connect := drive.Connect{Count: w.Proxies, Forget: true}
	if w.Proxies > b.proxies {
		connect.Parallel = 500
	}
	stop, err := s.profile(ctx, b.profiles, fmt.Sprintf("connect-%d", w.Proxies))
	if err != nil {
		return err
	}
	if s.came, err = s.connect(ctx, connect); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // the last acknowledgements, and what the server does after them
	if s.full, err = s.settled(ctx); err != nil {
		return err
	}
	logf("%s: %.1f MiB RSS without proxies, %.1f MiB with %d: %.1f KiB each (heap %.1f KiB in pages of %.1f KiB, stacks %.1f KiB, %.1f goroutines)", kind,
		mib(s.empty.RSS), mib(s.full.RSS), w.Proxies, s.perProxy(s.full.RSS-s.empty.RSS),
		s.perProxy(s.full.Heap-s.empty.Heap), s.perProxy(s.full.HeapInUse-s.empty.HeapInUse), s.perProxy(s.full.Stacks-s.empty.Stacks), float64(s.full.Routines-s.empty.Routines)/float64(w.Proxies))
	return s.heap(ctx, b.profiles, fmt.Sprintf("heap-%d", w.Proxies))
}

// crowded measures idle proxies at a size at which only memory is of interest.
func (b *bench) crowded(ctx context.Context) error {
	w := world.World{Services: b.services, Proxies: b.crowd}
	sides := map[serve.Kind]*side{}
	for _, kind := range []serve.Kind{serve.Fairlead, serve.Bare} {
		s, err := b.peopled(ctx, kind, w)
		if err != nil {
			return err
		}
		if err := s.close(); err != nil {
			return err
		}
		sides[kind] = s
	}
	b.reportIdle(w.Proxies, sides)
	return nil
}

func (b *bench) reportIdle(n int, sides map[serve.Kind]*side) {
	b.report.Section(fmt.Sprintf("memory of the control plane, %d idle proxies with %d destinations each, %d Services", n, world.Destinations, b.services))
	growth := func(k serve.Kind) float64 { return sides[k].perProxy(sides[k].full.RSS - sides[k].empty.RSS) }
	ours, total := growth(serve.Fairlead), mib(sides[serve.Fairlead].full.RSS)
	b.report.Add(name("idle_kib_per_proxy", n), ours, "KiB").Against("bare stream", growth(serve.Bare)).Should(report.AtMost(80))
	if sides[serve.GCP] != nil {
		b.report.Add(name("idle_kib_per_proxy", n)+"_vs_gcp", ours, "KiB").Against("gcp", growth(serve.GCP))
	}
	limit := 250.0
	if n > b.proxies {
		limit = 1024
	}
	f := b.report.Add(name("control_plane_rss_mib", n), total, "MiB").Should(report.AtMost(limit))
	if sides[serve.GCP] != nil {
		f.Against("gcp", mib(sides[serve.GCP].full.RSS))
	}
}

func name(what string, n int) string { return fmt.Sprintf("%s_%d", what, n) }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (s *side) perProxy(bytes int64) float64 {
	return float64(bytes) / 1024 / float64(s.world.Proxies)
}
