package ads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// Config is what a Server is made of. Zero values mean the defaults.
type Config struct {
	// Source makes the resources. Required.
	Source Source
	// View is what Source.Build reads. Required. A change must be visible in it
	// before Server.Changed is called.
	View mesh.View
	// Authenticate says whose the bearer token of a new stream is. Required. An
	// error that carries a gRPC status is passed on, any other refuses the stream
	// as Unauthenticated with the error's text. It may do I/O; ctx ends with the
	// stream or after AuthTimeout.
	Authenticate func(ctx context.Context, bearer string) (*Client, error)
	// Refresh says what is now of a client that Authenticate returned: the argument
	// if nothing changed, another Client, or nil if its pod is gone. Pod and PodUID
	// stay. It is asked when a stream has been admitted, and by Server.RefreshPods.
	// It must not modify its argument or block. Optional: then nothing ever changes.
	Refresh func(*Client) *Client
	// Log defaults to slog.Default.
	Log *slog.Logger

	// AuthTimeout bounds one call of Authenticate: 10 s.
	AuthTimeout time.Duration
	// AuthConcurrency is how many calls of Authenticate may run at once: 64.
	AuthConcurrency int
	// SyncConcurrency is how many streams may be in their initial sync at once; the
	// others wait in the order in which they came: 128.
	SyncConcurrency int
	// SyncLease is how long a stream that makes no end of its initial sync counts
	// against SyncConcurrency: 1 s.
	SyncLease time.Duration

	// SendDeadline is how long one send may block before the client is cut off: 5 s.
	SendDeadline time.Duration
	// AckDeadline is how long a response may be unanswered before the client is cut
	// off: 15 s.
	AckDeadline time.Duration
	// AfterTimeout bounds the wait for one Built.After, and that of a removal for
	// what replaces it: 1 s.
	AfterTimeout time.Duration
	// ReportedGrace is how long a resource that a reconnecting client reports to
	// hold, though nothing it subscribes to needs it (yet), is kept: 5 s. The types
	// come one after the other, so that what needs it may not have been named yet.
	ReportedGrace time.Duration
	// MaxAge is how old a stream gets before it is closed so that connections
	// spread over the replicas, give or take half of it: 30 min. Negative: no limit.
	MaxAge time.Duration

	// CacheSize is how many built resources that nobody holds are kept: 4096.
	CacheSize int
	// ScopeNames bounds what is remembered for one workload: 256.
	ScopeNames int
	// ScopeWorkloads bounds for how many workloads that is done: 10,000.
	ScopeWorkloads int
	// StickyLimit is how many sticky resources a client may hold under their own
	// keys before it gets Overflower.Overflow: 4096.
	StickyLimit int
	// MaxHeld is how many resources a client may hold in all, clusters three quarters
	// of it: 20,000, and not more than 40,000. Names beyond that are answered with
	// "there is none".
	MaxHeld int
	// Workers is how many builds run at once, at least 2: half the processors.
	Workers int
}

const defaultMaxHeld = 20_000

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Source == nil:
		return c, errors.New("ads: Config.Source is not set")
	case c.View == nil:
		return c, errors.New("ads: Config.View is not set")
	case c.Authenticate == nil:
		return c, errors.New("ads: Config.Authenticate is not set; a stream without an identity is never served")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	setDefault(&c.AuthTimeout, 10*time.Second)
	setDefault(&c.AuthConcurrency, 64)
	setDefault(&c.SyncConcurrency, 128)
	setDefault(&c.SyncLease, time.Second)
	setDefault(&c.SendDeadline, 5*time.Second)
	setDefault(&c.AckDeadline, 15*time.Second)
	setDefault(&c.AfterTimeout, time.Second)
	setDefault(&c.ReportedGrace, 5*time.Second)
	setDefault(&c.MaxAge, 30*time.Minute)
	setDefault(&c.CacheSize, 4096)
	setDefault(&c.ScopeNames, 256)
	setDefault(&c.ScopeWorkloads, 10_000)
	setDefault(&c.StickyLimit, 4096)
	setDefault(&c.MaxHeld, defaultMaxHeld)
	setDefault(&c.Workers, runtime.GOMAXPROCS(0)/2)
	c.Workers = max(c.Workers, 2)
	if c.MaxHeld > maxRequestNames {
		return c, fmt.Errorf("ads: Config.MaxHeld is %d; at most %d names fit one request, so that no client could reconnect with more", c.MaxHeld, maxRequestNames)
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
