package demo

import (
	"context"
	"io/fs"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// Options say what to show. Reporter is required.
type Options struct {
	// Dir is the work folder, which must be empty or not there yet. Unless set, one
	// is made under the temporary folder, and removed at the end if all went well.
	Dir string
	// Examples are the shop's manifests; those of package examples/shop unless set.
	Examples fs.FS
	// Programs is the folder of fairlead-controller and shop; that of this program
	// unless set.
	Programs string
	// Timeout bounds the measuring; 3 minutes unless set.
	Timeout time.Duration
	// Reporter is shown how it goes on.
	Reporter report.Reporter
	// Done, unless nil, is called when all was measured and the mesh is still up; the
	// mesh goes when it returns.
	Done func(context.Context, report.Summary, Tour) error
}

// Tour is what a person may try while the mesh is up.
type Tour struct {
	// Dir is the work folder.
	Dir string
	// Stops are commands, each with what it shows.
	Stops []Stop
}

// Stop is one command of a Tour.
type Stop struct{ Why, Command string }

// NeedError says what this machine lacks for a demonstration.
type NeedError struct{ Err error }

func (e *NeedError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *NeedError) Unwrap() error { return e.Err }

const (
	// requestTimeout is when a request of the load is given up, and has failed.
	requestTimeout = 5 * time.Second
	// namespace is that of the shop.
	namespace = "shop"
)
