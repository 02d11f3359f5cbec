package mesh

import "net/netip"

// Kind says what sort of value a Key names.
type Kind uint8

// The kinds of a Key.
const (
	KindService   Kind = iota + 1 // View.Service
	KindEndpoints                 // View.Endpoints
	KindRoutes                    // View.Routes: the routes of one parent Service
	KindAddress                   // View.Owner
	KindPod                       // View.Pod
	KindNamespace                 // View.Namespace
	KindSettings                  // View.Settings
)

// Key names a value that a View can look up. It is comparable. Name is set for
// the kinds that go by name (a Namespace has only Name.Name), Address for
// KindAddress.
type Key struct {
	Kind    Kind
	Name    Name
	Address netip.Addr
}

// View looks up the present values. What it returns is immutable; nil means
// that there is none. Safe for concurrent use.
type View interface {
	Settings() *Settings
	Namespace(name string) *Namespace
	Service(Name) *Service
	// Endpoints returns nil for a Service that has none.
	Endpoints(service Name) *Endpoints
	Pod(Name) *Pod
	// Owner says whose the address is now. A Service goes before a pod.
	Owner(netip.Addr) Owner
	// Routes returns the routes that name the Service as a parent, wherever they
	// live: oldest first, then by namespace and name, HTTP and GRPC together.
	Routes(parent Name) []*Route
}
