package drive

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/fairlead/fairlead/test/bench/child"
	"github.com/fairlead/fairlead/test/bench/usage"
)

// Process answers the calls of the orchestrator until its input ends.
func Process(ctx context.Context) error {
	// The collector's work would be taken from the server on the same cores.
	debug.SetGCPercent(400)
	var f *Fleet
	defer func() {
		if f != nil {
			f.Disconnect()
		}
	}()
	open := func(_ context.Context, t Target) (child.None, error) {
		var err error
		f, err = Open(t)
		return child.None{}, err
	}
	return child.Serve(ctx, os.Stdin, os.Stdout, map[string]child.Method{
		"open": child.Handler(open),
		"connect": child.Handler(func(ctx context.Context, c Connect) (Connected, error) {
			if f == nil {
				return Connected{}, errors.New("open comes first")
			}
			return f.Connect(ctx, c)
		}),
		"scout":      child.Handler(func(ctx context.Context, s Scout) (Connected, error) { return f.Scout(ctx, s) }),
		"save":       child.Handler(func(_ context.Context, file string) (child.None, error) { return child.None{}, f.Save(file) }),
		"arm":        child.Handler(func(_ context.Context, a Await) (child.None, error) { f.Arm(a); return child.None{}, nil }),
		"await":      child.Handler(func(ctx context.Context, a Await) (Arrivals, error) { return f.Await(ctx, a) }),
		"disconnect": child.Handler(func(context.Context, child.None) (child.None, error) { f.Disconnect(); return child.None{}, nil }),
		"usage":      child.Handler(func(context.Context, child.None) (usage.Usage, error) { return usage.Settled() }),
	})
}
