package drive

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/fairlead/fairlead/test/bench/usage"
	"github.com/fairlead/fairlead/test/bench/wire"
)

// Proxy is who a fake proxy says that it is, and which clusters it asks for on
// demand.
type Proxy struct {
	Node         string   `json:"node"`
	Token        string   `json:"token"`
	Destinations []string `json:"destinations"`
}

// Target is a server to connect to.
type Target struct {
	Address    string `json:"address"`
	ServerName string `json:"serverName"`
	CAFile     string `json:"caFile"`
	// ProxiesFile holds a JSON list of Proxy.
	ProxiesFile string `json:"proxiesFile"`
	// Clusters, if not nil, are asked for by name in place of a wildcard: for a server
	// whose wildcard is every cluster there is.
	Clusters []string `json:"clusters"`
	// Bare proxies send one request and wait for what comes.
	Bare bool `json:"bare"`
}

// Fleet are the proxies of this process. Its methods are called one at a time.
type Fleet struct {
	target  Target
	creds   credentials.TransportCredentials
	proxies []*proxy
	refs    wire.Refs

	ctx    context.Context // of the streams; ended by cancel
	cancel context.CancelFunc
	ended  sync.WaitGroup

	flip     atomic.Pointer[flip]
	recorder *recorder

	messages  atomic.Int64
	bytes     atomic.Int64
	resources atomic.Int64
	equal     atomic.Int64
	retries   atomic.Int64
	lastError atomic.Pointer[string]
}

// Open reads the target's files. Nothing is connected yet.
func Open(t Target) (*Fleet, error) {
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", t.CAFile)
	}
	text, err := os.ReadFile(t.ProxiesFile)
	if err != nil {
		return nil, err
	}
	var who []Proxy
	if err := json.Unmarshal(text, &who); err != nil {
		return nil, fmt.Errorf("%s: %w", t.ProxiesFile, err)
	}
	f := &Fleet{target: t, creds: credentials.NewTLS(&tls.Config{
		RootCAs: pool, ServerName: t.ServerName, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		// What Envoy 1.40 offers by default, and no more: the hybrid key exchange that Go
		// adds costs a fifth of the server's CPU in a storm of connections.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
	})}
	for i, w := range who {
		f.proxies = append(f.proxies, newProxy(f, i, w))
	}
	return f, nil
}

// Connect says how to connect.
type Connect struct {
	First int `json:"first"` // index of the first proxy
	Count int `json:"count"`
	// Forget makes them new proxies; else they come back with what they hold.
	Forget bool `json:"forget"`
	// Marker is a ClusterLoadAssignment that nobody holds. Who comes back with
	// current versions is owed no answer; it asks for the marker last, and has been
	// served when that arrives.
	Marker string `json:"marker"`
	// Parallel limits how many come at once; 0 is a storm of all.
	Parallel int           `json:"parallel"`
	Timeout  time.Duration `json:"timeout"`
}

// Connected is how that went.
type Connected struct {
	Last      time.Duration // from the start until the last proxy had everything
	Median    time.Duration
	Messages  int64 // responses received
	Bytes     int64 // of encoded responses
	Resources int64
	Equal     int64 // resources sent again in the version that the proxy held
	Retries   int64 // streams that ended and were opened again
}

type connecting struct {
	marker string
	slots  chan struct{}
	left   atomic.Int64
	done   chan struct{}
	at     []int64
}

// Connect opens the streams and waits until each proxy has all that it asks for.
// It may be called again for further proxies.
func (f *Fleet) Connect(ctx context.Context, c Connect) (Connected, error) {
	if c.First+c.Count > len(f.proxies) {
		return Connected{}, fmt.Errorf("%s has %d proxies, not %d", f.target.ProxiesFile, len(f.proxies), c.First+c.Count)
	}
	if c.Parallel == 0 {
		c.Parallel = c.Count
	}
	now := &connecting{
		marker: c.Marker,
		slots:  make(chan struct{}, c.Parallel),
		done:   make(chan struct{}),
		at:     make([]int64, len(f.proxies)),
	}
	now.left.Store(int64(c.Count))
	before := f.counted()
	if f.cancel == nil {
		f.ctx, f.cancel = context.WithCancel(context.Background())
	}

	start := usage.Now()
	for _, p := range f.proxies[c.First : c.First+c.Count] {
		if c.Forget {
			p.forget()
		}
		f.ended.Go(func() { p.run(f.ctx, now) })
	}
	wait, stop := context.WithTimeout(ctx, c.Timeout)
	defer stop()
	select {
	case <-now.done:
	case <-wait.Done():
		return Connected{}, f.late(now, c)
	}

	result := f.counted()
	result.Messages -= before.Messages
	result.Bytes -= before.Bytes
	result.Resources -= before.Resources
	result.Equal -= before.Equal
	result.Retries -= before.Retries
	at := slices.Clone(now.at[c.First : c.First+c.Count])
	slices.Sort(at)
	result.Last = time.Duration(at[len(at)-1] - start)
	result.Median = time.Duration(at[len(at)/2] - start)
	return result, nil
}

func (f *Fleet) late(now *connecting, c Connect) error {
	last := "none"
	if text := f.lastError.Load(); text != nil {
		last = *text
	}
	return fmt.Errorf("%d of %d proxies were not synced after %v; last error of a stream: %s", now.left.Load(), c.Count, c.Timeout, last)
}

func (f *Fleet) counted() Connected {
	return Connected{
		Messages:  f.messages.Load(),
		Bytes:     f.bytes.Load(),
		Resources: f.resources.Load(),
		Equal:     f.equal.Load(),
		Retries:   f.retries.Load(),
	}
}

// Disconnect cuts all streams and connections and waits for their end. The
// proxies keep what they hold.
func (f *Fleet) Disconnect() {
	if f.cancel != nil {
		f.cancel()
		f.ended.Wait()
		f.cancel = nil
	}
}
