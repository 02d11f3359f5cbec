package controller

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/mesh"
)

// Options say what to run. Those without a default are required.
type Options struct {
	// Manifests is the folder of Kubernetes objects.
	Manifests string
	// StateDir keeps what must outlive a restart: the root, the key of the local
	// tokens' issuer; and the folders that local sidecars read. Only its owner, and
	// for the latter the sidecars' user, may read in it.
	StateDir string
	// XDSAddress is where sidecars connect: ":15012".
	XDSAddress string
	// DebugAddress is a loopback address or "unix:PATH"; "" for none.
	DebugAddress string
	// ServerNames are the DNS names and addresses in the xDS port's certificate.
	ServerNames []string
	// CA names the files of a root or an intermediate of the user's own: a folder
	// with tls.crt, tls.key and ca.crt. "" makes a root in StateDir.
	CA string
	// TrustDomain of all identities; mesh.DefaultTrustDomain if "".
	TrustDomain string
	// ServiceRanges and PodRanges are the addresses of Services and pods: what is
	// called outside of them passes through untouched. The first ServiceRange of each
	// family also gives addresses to Services that have none.
	ServiceRanges []netip.Prefix
	PodRanges     []netip.Prefix
	// ServerFirstPorts are ports on which servers speak first, besides the well-known.
	ServerFirstPorts []uint16
	// ServeIncomplete serves although some manifests could not be read at the start.
	ServeIncomplete bool
	// RefuseOutside refuses calls to addresses outside the ranges.
	RefuseOutside bool
	// LeafTTL is the life of a sidecar's certificate: 24 h.
	LeafTTL time.Duration
	// TokenTTL is the life of a local workload's token: 1 h.
	TokenTTL time.Duration
	// VolumeOwner may read the local sidecars' folders: Envoy's user. Nil is our own.
	VolumeOwner *localissuer.Owner
	// DrainWindow is the time over which connections are closed at the end: 5 s.
	DrainWindow time.Duration
	// Log defaults to slog.Default.
	Log *slog.Logger

	// XDSListener and DebugListener take the place of the addresses, for tests.
	XDSListener, DebugListener net.Listener
}

// DefaultServerName is the name of the control plane's Service.
const DefaultServerName = "fairlead.fairlead-system.svc.cluster.local"

// withDefaults fills in what is not set and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	var problems []error
	if o.Manifests == "" {
		problems = append(problems, errors.New("--manifests is not set: name the folder of Kubernetes objects"))
	}
	if o.StateDir == "" {
		problems = append(problems, errors.New("--state-dir is not set: name a folder that outlives restarts"))
	}
	if o.XDSAddress == "" {
		o.XDSAddress = ":15012"
	}
	if err := checkDebugAddress(o.DebugAddress); err != nil {
		problems = append(problems, err)
	}
	if o.TrustDomain == "" {
		o.TrustDomain = mesh.DefaultTrustDomain
	}
	if len(o.ServerNames) == 0 {
		o.ServerNames = []string{DefaultServerName}
	}
	if o.LeafTTL == 0 {
		o.LeafTTL = certs.DefaultTTL
	}
	if o.TokenTTL == 0 {
		o.TokenTTL = localissuer.DefaultTokenLife
	}
	if o.DrainWindow == 0 {
		o.DrainWindow = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o, errors.Join(problems...)
}

// checkDebugAddress refuses an address that others than this machine's users
// can reach: the debug listener asks for no credentials.
func checkDebugAddress(address string) error {
	if address == "" || strings.HasPrefix(address, "unix:") {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--debug-address %q: %w; use 127.0.0.1:15014 or unix:PATH", address, err)
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("--debug-address %q is not on loopback, and the debug listener asks for no credentials; use 127.0.0.1:15014 or unix:PATH", address)
	}
	return nil
}

// settings are the mesh's, as the options say.
func (o Options) settings() mesh.Settings {
	ranges := make([]netip.Prefix, 0, len(o.ServiceRanges)+len(o.PodRanges))
	ranges = append(append(ranges, o.ServiceRanges...), o.PodRanges...)
	return mesh.Settings{
		TrustDomain:      o.TrustDomain,
		Ranges:           ranges,
		ServiceRanges:    o.ServiceRanges,
		ServerFirstPorts: o.ServerFirstPorts,
		RefuseOutside:    o.RefuseOutside,
	}
}

// VolumesDir is where the folders of local sidecars are, <namespace>/<pod> each.
func VolumesDir(stateDir string) string { return filepath.Join(stateDir, "pods") }
