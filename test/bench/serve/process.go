package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/test/bench/child"
	"github.com/fairlead/fairlead/test/bench/usage"
	"github.com/fairlead/fairlead/test/bench/world"
)

// Kind is what is measured.
type Kind string

// The kinds. GCPDefaults and BareDefaults have grpc-go's own buffers.
const (
	Fairlead     Kind = "fairlead"
	GCP          Kind = "go-control-plane"
	GCPDefaults  Kind = "go-control-plane-defaults"
	Bare         Kind = "bare"
	BareDefaults Kind = "bare-defaults"
)

// ServerName is the DNS name in the servers' certificate.
const ServerName = "fairlead.fairlead-system.svc"

// Start says what to serve.
type Start struct {
	Kind  Kind        `json:"kind"`
	World world.World `json:"world"`
	// Dir is where the authority of all servers of a run lives, and where the files
	// below are.
	Dir string `json:"dir"`
	// ProxiesFile is written by Fairlead's server: a list of drive.Proxy.
	ProxiesFile string `json:"proxiesFile"`
	// CaptureFile is read by the others.
	CaptureFile string `json:"captureFile"`
}

// Started says where the server listens.
type Started struct {
	Address string `json:"address"`
	CAFile  string `json:"caFile"`
}

// Flipped says when a change was begun (usage.Now), and when the call that made
// it returned.
type Flipped struct{ Begun, Returned int64 }

// server is what the kinds have in common.
type server interface {
	// serve blocks until stop.
	serve(net.Listener) error
	// flip changes one endpoint of Service 0, to and fro.
	flip() error
	stop()
}

func newServer(s Start, a *certs.Authority) (server, error) {
	switch s.Kind {
	case Fairlead:
		return newFairlead(s, a)
	case GCP, GCPDefaults:
		return newGCP(s, a)
	case Bare, BareDefaults:
		return newBare(s, a)
	}
	return nil, fmt.Errorf("there is no server of kind %q", s.Kind)
}

// process is one server, called by the orchestrator.
type process struct {
	server  server
	profile *os.File
}

// Process answers the calls of the orchestrator until its input ends.
func Process(ctx context.Context) error {
	var p process
	defer func() {
		if p.server != nil {
			p.server.stop()
		}
	}()
	return child.Serve(ctx, os.Stdin, os.Stdout, map[string]child.Method{
		"start":   child.Handler(p.start),
		"flip":    child.Handler(p.flip),
		"usage":   child.Handler(func(context.Context, child.None) (usage.Usage, error) { return usage.Self() }),
		"settled": child.Handler(func(context.Context, child.None) (usage.Usage, error) { return usage.Settled() }),
		"profile": child.Handler(p.startProfile),
		"stop":    child.Handler(p.stopProfile),
		"heap":    child.Handler(p.heap),
	})
}

func (p *process) start(_ context.Context, s Start) (Started, error) {
	ca := filepath.Join(s.Dir, "ca")
	if err := os.MkdirAll(ca, 0o700); err != nil {
		return Started{}, err
	}
	authority, err := certs.LoadOrCreate(ca, certs.Options{})
	if err != nil {
		return Started{}, err
	}
	caFile := filepath.Join(s.Dir, "root.pem")
	if err := os.WriteFile(caFile, authority.Bundle().PEM(), 0o600); err != nil {
		return Started{}, err
	}
	if p.server, err = newServer(s, authority); err != nil {
		return Started{}, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Started{}, err
	}
	go func() {
		if err := p.server.serve(listener); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s server: %v\n", s.Kind, err)
		}
	}()
	return Started{Address: listener.Addr().String(), CAFile: caFile}, nil
}

func (p *process) flip(context.Context, child.None) (Flipped, error) {
	begun := usage.Now()
	err := p.server.flip()
	return Flipped{Begun: begun, Returned: usage.Now()}, err
}

func (p *process) startProfile(_ context.Context, file string) (child.None, error) {
	var err error
	if p.profile, err = os.Create(file); err != nil {
		return child.None{}, err
	}
	return child.None{}, pprof.StartCPUProfile(p.profile)
}

func (p *process) stopProfile(context.Context, child.None) (child.None, error) {
	if p.profile == nil {
		return child.None{}, errors.New("no profile was started")
	}
	pprof.StopCPUProfile()
	if f, ok := p.server.(*fairlead); ok {
		fmt.Fprintf(os.Stderr, "bench: Fairlead's server until the end of %s: %+v\n", filepath.Base(p.profile.Name()), f.Server.Stats())
	}
	return child.None{}, p.profile.Close()
}

func (p *process) heap(_ context.Context, file string) (child.None, error) {
	f, err := os.Create(file)
	if err != nil {
		return child.None{}, err
	}
	defer f.Close()
	runtime.GC()
	return child.None{}, pprof.Lookup("heap").WriteTo(f, 0)
}
