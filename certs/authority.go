package certs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// DefaultTTL is the life of a leaf unless Options says another.
const DefaultTTL = 24 * time.Hour

// minTTL: times in certificates are whole seconds, so less could be nothing.
const minTTL = 2 * time.Second

// Options of an Authority. The zero value is the default.
type Options struct {
	// TrustDomain of every identity that is signed; mesh.DefaultTrustDomain if "".
	TrustDomain string
	// TTL is the life of a leaf, at least 2 s; DefaultTTL if 0.
	TTL time.Duration
	// Jitter returns numbers in [0, 1) that spread the renewals; math/rand if nil.
	Jitter func() float64
	// Logger hears of reloads; slog.Default if nil.
	Logger *slog.Logger
}

// Authority signs leaves with the key of a CA. Safe for concurrent use.
type Authority struct {
	// Set once.
	trustDomain string
	ttl         time.Duration
	jitter      func() float64
	log         *slog.Logger
	files       Files // zero: nothing to reload

	// Atomic: what the authority signs with now, and whom it trusts.
	state atomic.Pointer[state]
	roots feed

	// reload guards the fields below and orders changes of state.
	reload    sync.Mutex
	loaded    digest // of the files that state.latest was made from
	reloadErr error
}

// NewSelfSigned makes an authority with a new root that lives in memory only.
func NewSelfSigned(o Options) (*Authority, error) {
	a, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	m, err := newRoot(a.trustDomain, time.Now())
	if err != nil {
		return nil, err
	}
	return a, a.start(m)
}

// Load makes an authority of a CA's files: an error names the file, what is wrong
// with it and the way out. Run keeps up with changes of the files.
func Load(f Files, o Options) (*Authority, error) {
	a, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	a.files = f
	m, sum, err := f.read()
	if err != nil {
		return nil, err
	}
	a.loaded = sum
	return a, a.start(m)
}

// LoadOrCreate loads the CA that lives in dir, or makes a new root there: OwnFiles
// names the files. Of several processes that start at once, one makes the root and
// all load it.
func LoadOrCreate(dir string, o Options) (*Authority, error) {
	a, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	if err := createRoot(dir, a.trustDomain); err != nil {
		return nil, err
	}
	return Load(OwnFiles(dir), o)
}

func newAuthority(o Options) (*Authority, error) {
	a := &Authority{trustDomain: o.TrustDomain, ttl: o.TTL, jitter: o.Jitter, log: o.Logger}
	if a.trustDomain == "" {
		a.trustDomain = mesh.DefaultTrustDomain
	}
	if a.ttl == 0 {
		a.ttl = DefaultTTL
	}
	if a.jitter == nil {
		a.jitter = rand.Float64
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.ttl < minTTL {
		return nil, fmt.Errorf("certificate TTL %v: must be at least %v", a.ttl, minTTL)
	}
	return a, checkTrustDomain(a.trustDomain)
}

// start makes the first state.
func (a *Authority) start(m material) error {
	s, err := newIssuer(m, a.trustDomain, time.Now())
	if err != nil {
		return err
	}
	a.enter(&state{signer: s, latest: s, trust: s.roots})
	return nil
}

// TrustDomain returns the trust domain that the authority signs for.
func (a *Authority) TrustDomain() string { return a.trustDomain }

// IssuerKeyID names the key that signs now; see Leaf.IssuerKeyID.
func (a *Authority) IssuerKeyID() string { return a.state.Load().signer.keyID }

// Bundle returns the present set of roots: those of the files, and after a change
// of the files those of before, until Retire.
func (a *Authority) Bundle() Bundle { return a.state.Load().trust }

// Subscribe returns a channel that holds the present Bundle and then each new one,
// until ctx ends and the channel is closed. The same one comes again when a Promote
// or a Retire has become due, or was done. A slow reader misses those in between,
// never the latest.
func (a *Authority) Subscribe(ctx context.Context) <-chan Bundle { return a.roots.subscribe(ctx) }

// String says which authority this is; never its key.
func (a *Authority) String() string {
	s := a.state.Load().signer
	return fmt.Sprintf("CA of %s, key %s, until %s", a.trustDomain, s.keyID, s.notAfter.UTC().Format(time.RFC3339))
}

// GoString is String: for %#v.
func (a *Authority) GoString() string { return a.String() }

// LogValue is String (slog.LogValuer).
func (a *Authority) LogValue() slog.Value { return slog.StringValue(a.String()) }

// checkTrustDomain holds a trust domain to the SPIFFE-ID standard, section 2.1.
func checkTrustDomain(td string) error {
	bad := func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
	}
	if td == "" || len(td) > 255 || strings.ContainsFunc(td, bad) {
		return fmt.Errorf("trust domain %q: must be 1 to 255 lower-case letters, digits, dots, dashes and underscores, as in %q", td, mesh.DefaultTrustDomain)
	}
	return nil
}

// checkIdentity holds an identity to the SPIFFE-ID standard, sections 2.2 and 2.3.
func (a *Authority) checkIdentity(id mesh.Identity) error {
	if id.TrustDomain != a.trustDomain {
		return fmt.Errorf("identity %q: its trust domain is not %q, the one that this CA signs for", id, a.trustDomain)
	}
	if !pathSegment(id.Account.Namespace) || !pathSegment(id.Account.Name) {
		return fmt.Errorf("identity %q: namespace and service account must be names of Kubernetes objects", id)
	}
	return nil
}

// pathSegment reports that s may be one segment of the path of a SPIFFE ID.
func pathSegment(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 253 {
		return false
	}
	for _, c := range []byte(s) {
		ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}
