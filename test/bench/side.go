package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/test/bench/child"
	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/serve"
	"github.com/fairlead/fairlead/test/bench/usage"
	"github.com/fairlead/fairlead/test/bench/world"
)

// patience is how long anything may take before the run is given up.
const patience = 240 * time.Second

// side is one server and its proxies, each a process.
type side struct {
	kind   serve.Kind
	world  world.World
	server *child.Process
	drive  *child.Process

	empty usage.Usage // of the server, before the first proxy came
	came  drive.Connected
	full  usage.Usage // after all had come
}

// startSide starts a server and opens its proxies' files.
func startSide(ctx context.Context, dir string, kind serve.Kind, w world.World) (*side, error) {
	s := &side{kind: kind, world: w}
	if err := s.start(ctx, dir); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *side) start(ctx context.Context, dir string) error {
	var err error
	if s.server, err = child.Start(string(s.kind)+" server", "serve"); err != nil {
		return err
	}
	if s.drive, err = child.Start(string(s.kind)+" proxies", "drive"); err != nil {
		return err
	}
	start := serve.Start{Kind: s.kind, World: s.world, Dir: dir, ProxiesFile: proxiesFile(dir, s.world)}
	target := drive.Target{ServerName: serve.ServerName, ProxiesFile: start.ProxiesFile}
	if s.kind != serve.Fairlead {
		start.CaptureFile = captureFile(dir)
		capture, err := drive.ReadCapture(start.CaptureFile)
		if err != nil {
			return err
		}
		target.Clusters = capture.Clusters
		target.Bare = s.kind == serve.Bare || s.kind == serve.BareDefaults
	}
	var started serve.Started
	if err := s.server.Call(ctx, "start", start, &started); err != nil {
		return err
	}
	target.Address, target.CAFile = started.Address, started.CAFile
	return s.drive.Call(ctx, "open", target, nil)
}

func proxiesFile(dir string, w world.World) string {
	return filepath.Join(dir, fmt.Sprintf("proxies-%d.json", w.Proxies))
}

func captureFile(dir string) string { return filepath.Join(dir, "capture.json") }

func (s *side) close() error {
	var errs []error
	for _, p := range []*child.Process{s.drive, s.server} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *side) settled(ctx context.Context) (usage.Usage, error) {
	var u usage.Usage
	return u, s.server.Call(ctx, "settled", child.None{}, &u)
}

func (s *side) usage(ctx context.Context) (usage.Usage, error) {
	var u usage.Usage
	return u, s.server.Call(ctx, "usage", child.None{}, &u)
}

func (s *side) connect(ctx context.Context, c drive.Connect) (drive.Connected, error) {
	c.Timeout = patience
	var r drive.Connected
	err := s.drive.Call(ctx, "connect", c, &r)
	if err == nil {
		logf("%s: %d proxies synced in %v (median %v): %d responses, %d resources (%d sent again), %.1f MB, %d streams opened again", s.kind, c.Count,
			r.Last.Round(time.Millisecond), r.Median.Round(time.Millisecond), r.Messages, r.Resources, r.Equal, float64(r.Bytes)/1e6, r.Retries)
	}
	return r, err
}

func (s *side) disconnect(ctx context.Context) error {
	return s.drive.Call(ctx, "disconnect", child.None{}, nil)
}

// flip changes one endpoint that count proxies hold, and returns the times from
// the beginning of the change to its arrival.
func (s *side) flip(ctx context.Context, count int) (median, last time.Duration, err error) {
	await := drive.Await{Name: s.world.Endpoints(0), Count: count, Timeout: 30 * time.Second}
	if err := s.drive.Call(ctx, "arm", await, nil); err != nil {
		return 0, 0, err
	}
	var f serve.Flipped
	if err := s.server.Call(ctx, "flip", child.None{}, &f); err != nil {
		return 0, 0, err
	}
	var a drive.Arrivals
	if err := s.drive.Call(ctx, "await", await, &a); err != nil {
		return 0, 0, err
	}
	return time.Duration(a.Median - f.Begun), time.Duration(a.Last - f.Begun), nil
}

// scout has one proxy of Fairlead's server record every resource and two changes.
func (s *side) scout(ctx context.Context, dir string) error {
	call := drive.Scout{Index: s.world.Proxies, FlipName: s.world.Endpoints(0), Timeout: patience}
	var r drive.Connected
	if err := s.drive.Call(ctx, "scout", call, &r); err != nil {
		return err
	}
	logf("scout: %d resources, %.1f MB, in %v", r.Resources, float64(r.Bytes)/1e6, r.Last.Round(time.Millisecond))
	for range 2 {
		if _, _, err := s.flip(ctx, 1); err != nil {
			return err
		}
	}
	return s.drive.Call(ctx, "save", captureFile(dir), nil)
}

// profile begins a CPU profile of Fairlead's server in a file of that folder; stop
// ends it. Without a folder, and for other servers, nothing happens.
func (s *side) profile(ctx context.Context, folder, name string) (stop func() error, err error) {
	if folder == "" || s.kind != serve.Fairlead {
		return func() error { return nil }, nil
	}
	if err := s.server.Call(ctx, "profile", filepath.Join(folder, name+".cpu"), nil); err != nil {
		return nil, err
	}
	return func() error { return s.server.Call(ctx, "stop", child.None{}, nil) }, nil
}

// heap writes a heap profile, under the same conditions.
func (s *side) heap(ctx context.Context, folder, name string) error {
	if folder == "" || s.kind != serve.Fairlead {
		return nil
	}
	return s.server.Call(ctx, "heap", filepath.Join(folder, name+".heap"), nil)
}
