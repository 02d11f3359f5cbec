package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/report"
	"github.com/fairlead/fairlead/test/bench/serve"
)

// storms is how often all proxies come back, of each sort.
const storms = 3

// came is how one server stood the storms.
type came struct {
	seconds, megabytes, cpu []float64
	equal, retries          int64
}

// reconnecting cuts all proxies off at once and lets all of them come back at
// once: first with what they hold, then with nothing.
func (b *bench) reconnecting(ctx context.Context, sides map[serve.Kind]*side) error {
	known, cold := map[serve.Kind]*came{}, map[serve.Kind]*came{}
	for _, kind := range []serve.Kind{serve.Fairlead, serve.GCP} {
		known[kind], cold[kind] = &came{}, &came{}
		stop, err := sides[kind].profile(ctx, b.profiles, "reconnect")
		if err != nil {
			return err
		}
		for i := range storms {
			if err := b.storm(ctx, sides[kind], drive.Connect{Marker: sides[kind].world.Marker(i)}, known[kind]); err != nil {
				return err
			}
		}
		for range storms {
			if err := b.storm(ctx, sides[kind], drive.Connect{Forget: true}, cold[kind]); err != nil {
				return err
			}
		}
		if err := stop(); err != nil {
			return err
		}
	}
	n := b.proxies
	b.report.Section(fmt.Sprintf("%d proxies connect for the first time, all at once", n))
	b.report.Add(name("connect_first_s", n), sides[serve.Fairlead].came.Last.Seconds(), "s").
		Against("gcp", sides[serve.GCP].came.Last.Seconds()).Should(report.AtMost(5))
	b.reportStorms("known", "that hold the current versions", known)
	b.reportStorms("cold", "that hold nothing", cold)
	return nil
}

func (b *bench) storm(ctx context.Context, s *side, c drive.Connect, into *came) error {
	if err := s.disconnect(ctx); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond) // Envoy's first wait; the server notices the end of the old streams
	before, err := s.usage(ctx)
	if err != nil {
		return err
	}
	c.Count = b.proxies
	r, err := s.connect(ctx, c)
	if err != nil {
		return err
	}
	after, err := s.usage(ctx)
	if err != nil {
		return err
	}
	into.seconds = append(into.seconds, r.Last.Seconds())
	into.megabytes = append(into.megabytes, float64(r.Bytes)/1e6)
	into.cpu = append(into.cpu, (after.CPU - before.CPU).Seconds())
	into.equal += r.Equal
	into.retries += r.Retries
	return nil
}

func (b *bench) reportStorms(sort, title string, found map[serve.Kind]*came) {
	ours, gcp := found[serve.Fairlead], found[serve.GCP]
	n := b.proxies
	b.report.Section(fmt.Sprintf("all of %d proxies reconnect at once, %s", n, title))
	b.report.Add(name("reconnect_"+sort+"_s", n), middle(ours.seconds), "s").Against("gcp", middle(gcp.seconds)).Should(report.AtMost(5))
	b.report.Add(name("reconnect_"+sort+"_cpu_s", n), middle(ours.cpu), "s").Against("gcp", middle(gcp.cpu))
	b.report.Add(name("reconnect_"+sort+"_mb", n), middle(ours.megabytes), "MB").Against("gcp", middle(gcp.megabytes))
	b.report.Add(name("reconnect_"+sort+"_equal_resent", n), float64(ours.equal), "resources").Against("gcp", float64(gcp.equal)).Should(report.AtMost(0))
	b.report.Add(name("reconnect_"+sort+"_streams_reopened", n), float64(ours.retries), "streams").Against("gcp", float64(gcp.retries))
}
