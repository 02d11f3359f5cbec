package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/test/bench/report"
	"github.com/fairlead/fairlead/test/bench/serve"
)

// flips is what one server needed for its endpoint changes.
type flips struct {
	last, median []float64 // ms, one per change
	cpu          float64   // ms per change, collections included
	allocated    float64   // MiB per change
}

// flipping lets the servers take turns, so that what else the machine does falls
// on all of them alike.
func (b *bench) flipping(ctx context.Context, kinds []serve.Kind, sides map[serve.Kind]*side) error {
	found := map[serve.Kind]*flips{}
	for _, kind := range kinds {
		found[kind] = &flips{}
		if err := b.round(ctx, sides[kind], &flips{}); err != nil { // warms it up
			return err
		}
	}
	stop, err := sides[serve.Fairlead].profile(ctx, b.profiles, "flip")
	if err != nil {
		return err
	}
	for range b.rounds {
		for _, kind := range kinds {
			if err := b.round(ctx, sides[kind], found[kind]); err != nil {
				return err
			}
		}
	}
	if err := stop(); err != nil {
		return err
	}
	for _, kind := range kinds {
		f := found[kind]
		f.cpu /= float64(b.rounds * b.flips)
		f.allocated /= float64(b.rounds * b.flips)
		logf("%s: an endpoint change reached half of %d proxies in %.1f ms, the last in %.1f ms (%.1f to %.1f); %.1f ms of CPU, %.2f MiB allocated", kind, b.proxies,
			middle(f.median), middle(f.last), slices.Min(f.last), slices.Max(f.last), f.cpu, f.allocated)
	}
	b.reportFlips(found)
	return nil
}

// round makes several changes in a row. CPU and allocations are those from the
// first change until all acknowledgements have been read.
func (b *bench) round(ctx context.Context, s *side, f *flips) error {
	before, err := s.usage(ctx)
	if err != nil {
		return err
	}
	for range b.flips {
		median, last, err := s.flip(ctx, b.proxies)
		if err != nil {
			return err
		}
		f.median = append(f.median, ms(median))
		f.last = append(f.last, ms(last))
		time.Sleep(50 * time.Millisecond) // the last acknowledgements are under way
	}
	time.Sleep(100 * time.Millisecond)
	after, err := s.usage(ctx)
	if err != nil {
		return err
	}
	f.cpu += ms(after.CPU - before.CPU)
	f.allocated += mib(after.Allocated - before.Allocated)
	return nil
}

func (b *bench) reportFlips(found map[serve.Kind]*flips) {
	n := b.proxies
	ours, gcp, bare := found[serve.Fairlead], found[serve.GCP], found[serve.Bare]
	// The better one of go-control-plane's two, so that its buffers are no excuse.
	if other := found[serve.GCPDefaults]; other != nil && other.cpu < gcp.cpu {
		gcp = other
	}
	b.report.Section(fmt.Sprintf("one endpoint changes, %d proxies hold it (median of %d changes)", n, b.rounds*b.flips))
	b.report.Add(name("flip_last_ms", n), middle(ours.last), "ms").Against("gcp", middle(gcp.last))
	b.report.Add("flip_ratio_vs_bare_grpc", middle(ours.last)/middle(bare.last), "ratio").Should(report.AtMost(1.3))
	b.report.Add(name("flip_last_ms", n)+"_bare_grpc", middle(bare.last), "ms")
	b.report.Add(name("flip_cpu_ms", n), ours.cpu, "ms").Against("gcp", gcp.cpu)
	b.report.Add(name("flip_cpu_ms", n)+"_bare_grpc", bare.cpu, "ms")
	// What costs no more than the floor is counted as 1% of the floor above it.
	above := max(ours.cpu-bare.cpu, bare.cpu/100)
	b.report.Add("flip_overhead_ratio_vs_gcp", (gcp.cpu-bare.cpu)/above, "ratio").Should(report.AtLeast(3))
	b.report.Add(name("flip_allocated_mib", n), ours.allocated, "MiB").Against("gcp", gcp.allocated)
	b.report.Add(name("flip_allocated_mib", n)+"_bare_grpc", bare.allocated, "MiB")
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
