package mesh

import (
	"cmp"
	"net/netip"
	"strings"
)

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
	KindExternal                  // View.External
	KindHTTPPorts                 // View.HTTPPorts
)

var kindNames = [...]string{
	KindService:   "service",
	KindEndpoints: "endpoints",
	KindRoutes:    "routes",
	KindAddress:   "address",
	KindPod:       "pod",
	KindNamespace: "namespace",
	KindSettings:  "settings",
	KindExternal:  "external addresses",
	KindHTTPPorts: "HTTP ports",
}

// String returns the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// Key names a value that a View can look up. It is comparable. Name is set for
// the kinds that go by name (a Namespace has only Name.Name; a workload has its kind
// in front of it, "Deployment/web"), Address for KindAddress.
type Key struct {
	Kind    Kind
	Name    Name
	Address netip.Addr
}

// String names the value for a person: "Service default/reviews: endpoints".
func (k Key) String() string {
	switch k.Kind {
	case KindService:
		return "Service " + k.Name.String()
	case KindEndpoints, KindRoutes:
		return "Service " + k.Name.String() + ": " + k.Kind.String()
	case KindHTTPPorts:
		kind, name, _ := strings.Cut(k.Name.Name, "/")
		return Workload{kind, Name{k.Name.Namespace, name}}.String() + ": " + k.Kind.String()
	case KindAddress:
		return "address " + k.Address.String()
	case KindPod:
		return "Pod " + k.Name.String()
	case KindNamespace:
		return "Namespace " + k.Name.Name
	default:
		return k.Kind.String()
	}
}

// Compare orders keys by kind, name and address.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), k.Name.Compare(o.Name), k.Address.Compare(o.Address))
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
	// Owner says whose the address is now. A Service's cluster IP goes before a pod's
	// address, and that before what Services list as external.
	Owner(netip.Addr) Owner
	// Sharers returns the Services that claim the address, its owner first; none if
	// the owner is no Service. More than one may: a load balancer's address is often shared, by Services with different
	// ports. A change of the list counts as one of the address (KindAddress).
	Sharers(netip.Addr) []Name
	// Routes returns the routes that name the Service as a parent, wherever they
	// live: oldest first, then by namespace and name, HTTP and GRPC together.
	Routes(parent Name) []*Route
	// External returns the ExternalAddresses of all Services: sorted, each once. It
	// changes (KindExternal) only when this list does.
	External() []netip.Addr
	// HTTPPorts returns the ports on which the workload's pods serve HTTP and nothing
	// else, sorted: those behind the ports of Services of their namespace which are
	// declared HTTP (DeclaredHTTP; of routes, those in that namespace count). It must
	// not be modified.
	HTTPPorts(Workload) []uint16
}
