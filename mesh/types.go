package mesh

import (
	"cmp"
	"net/netip"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Name is the namespaced name of an object. The zero Name names nothing.
type Name struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// IsZero reports whether n names nothing.
func (n Name) IsZero() bool { return n == Name{} }

// Compare orders names by namespace, then by name.
func (n Name) Compare(o Name) int {
	return cmp.Or(cmp.Compare(n.Namespace, o.Namespace), cmp.Compare(n.Name, o.Name))
}

// Protocol is what a Service port says it speaks (KEP-3726 appProtocol, the
// port's name, or nothing at all).
type Protocol string

// The protocols that the mesh tells apart. Unspecified is the normal case: the
// first bytes of a connection decide.
const (
	ProtocolUnspecified Protocol = ""
	ProtocolHTTP        Protocol = "HTTP"
	ProtocolHTTP2       Protocol = "HTTP2"
	ProtocolGRPC        Protocol = "GRPC"
	ProtocolTLS         Protocol = "TLS"
	ProtocolTCP         Protocol = "TCP"
	ProtocolUDP         Protocol = "UDP" // also SCTP: not carried by the mesh
)

// Service is a Kubernetes Service.
type Service struct {
	Name Name
	// Addresses are the cluster IPs, primary family first; empty if headless or
	// of type ExternalName.
	Addresses []netip.Addr
	// ExternalAddresses are spec.externalIPs and the load balancer's ingress IPs:
	// a call to one of them from inside the mesh means this Service.
	ExternalAddresses []netip.Addr
	// Headless reports clusterIP: None: callers reach the pods by their addresses.
	Headless bool
	// ExternalName is the DNS name of a Service of that type.
	ExternalName string
	Ports        []Port
	// Selector is empty for a Service whose endpoints somebody else writes.
	Selector map[string]string
	// PublishNotReady reports spec.publishNotReadyAddresses.
	PublishNotReady bool
	// ClientIPAffinity reports spec.sessionAffinity: ClientIP.
	ClientIPAffinity bool
	// Annotations holds only those under fairlead.dev/.
	Annotations map[string]string
	// Created is the creation time in UTC, to the second; zero if unknown. Of two
	// Services that claim an address the older one has it.
	Created time.Time
	// Source says where the object was read: "file:line" for manifests.
	Source string
}

// Port is one port of a Service.
type Port struct {
	// Name is empty if the Service has one port only.
	Name   string
	Number uint16
	// TargetPort is what the Service says: a number, or the name of a container's
	// port. The number that counts is the endpoint's.
	TargetPort string
	Protocol   Protocol
	// AppProtocol is spec.ports[].appProtocol as it stands there.
	AppProtocol string
}

// Port returns the port with that number, or nil.
func (s *Service) Port(number uint16) *Port {
	for i := range s.Ports {
		if s.Ports[i].Number == number {
			return &s.Ports[i]
		}
	}
	return nil
}

// Slice is a Kubernetes EndpointSlice, or one derived from a selector.
type Slice struct {
	Name    Name
	Service Name
	Ports   []EndpointPort
	// Endpoints as the slice lists them; Identity fields are not filled in here.
	Endpoints []Endpoint
	Source    string
}

// EndpointPort is the number that the Service port of that name has on an endpoint.
type EndpointPort struct {
	Name   string
	Number uint16
}

// Endpoints are all the endpoints of a Service: its slices merged, and each
// address joined with the pod that has it now.
type Endpoints struct {
	Service Name
	// List is sorted by address.
	List []Endpoint
}

// Endpoint is one address behind a Service.
type Endpoint struct {
	Address netip.Addr
	Ports   []EndpointPort
	// Ready, Serving and Terminating are the slice's conditions (KEP-1672).
	Ready       bool
	Serving     bool
	Terminating bool
	Node        string
	Zone        string
	// TargetPod is the pod that the slice says it is (targetRef); zero if it names
	// none: an address outside, or of a Service without selector. TargetUID is that
	// pod's UID, "" if the slice does not say.
	TargetPod Name
	TargetUID string
	// Pod is the pod that has the address now: by the address, not by what the
	// slice says of it, so that a Service without selector finds it as well. Zero if
	// the address is no pod's, or if it is Unknown whose.
	Pod Name
	// Unknown reports that the TargetPod is not known to have the address: slices
	// and pods come by separate ways, so it may not have been seen yet, or be gone
	// and its address another's. Who would answer, and whether he has a sidecar, is
	// not known: nobody may be sent there.
	Unknown bool
	// Meshed reports that the pod has a sidecar; Account is then the service
	// account that it proves, in the pod's namespace.
	Meshed  bool
	Account Name
}

// Port returns the endpoint's number for the Service port of that name, 0 if it has none.
func (e *Endpoint) Port(name string) uint16 {
	for _, p := range e.Ports {
		if p.Name == name {
			return p.Number
		}
	}
	return 0
}

// Workload names the object that made a pod: the Deployment, not its
// ReplicaSet. A bare pod is its own workload (Kind "Pod").
type Workload struct {
	Kind string
	Name Name
}

// String returns "kind/namespace/name", the kind in lower case.
func (w Workload) String() string { return lower(w.Kind) + "/" + w.Name.String() }

// Pod is a running pod, or the stand-in for the pods of a template that a folder
// of manifests holds without any pod.
type Pod struct {
	Name Name
	UID  string
	// Addresses holds one per family; empty until the kubelet reports them.
	Addresses      []netip.Addr
	Labels         map[string]string
	Annotations    map[string]string // only those under fairlead.dev/
	ServiceAccount string
	Workload       Workload
	// Meshed reports that the pod has a sidecar (annotation fairlead.dev/injected,
	// or for manifests: that it would get one).
	Meshed      bool
	HostNetwork bool
	Node        string
	Zone        string
	// Ready is the pod's Ready condition; Terminating that it has a deletion
	// timestamp or is in a final phase.
	Ready       bool
	Terminating bool
	Ports       []ContainerPort
	// Template marks a stand-in made from a Deployment and the like.
	Template bool
	Source   string
}

// ContainerPort is a port that a pod's containers declare.
type ContainerPort struct {
	Name   string
	Number uint16
	UDP    bool
}

// AccountName returns the pod's service account as a namespaced name.
func (p *Pod) AccountName() Name {
	return Name{Namespace: p.Name.Namespace, Name: p.ServiceAccount}
}

// Namespace is a Kubernetes Namespace.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// ServiceAccount is known so that a reference to a missing one can be reported.
type ServiceAccount struct {
	Name Name
}

// Route is an HTTPRoute or a GRPCRoute: exactly one of the two is set. The
// objects are shared and must not be modified.
type Route struct {
	HTTP *gatewayv1.HTTPRoute
	GRPC *gatewayv1.GRPCRoute
	// Source says where the object was read: "file:line" for manifests.
	Source string
}

// Owner says whose an address is. At most one field is set.
type Owner struct {
	Service Name
	Pod     Name
	// UnknownPod reports that a slice says it is a pod's which is not known to have
	// it (Endpoint.Unknown).
	UnknownPod bool
}

// IsZero reports that the address is nobody's.
func (o Owner) IsZero() bool { return o == Owner{} }

// Settings are the mesh's own: few, because nothing should need tuning.
type Settings struct {
	// TrustDomain of every identity; "cluster.local" unless set.
	TrustDomain string
	// Ranges are the Service and pod address ranges, widened to covering prefixes.
	// A destination outside them is passed through untouched.
	Ranges []netip.Prefix
	// ServiceRanges is the part of Ranges that holds cluster IPs and nothing else
	// (KEP-1880, ServiceCIDR); empty if not known. An address in there that no
	// Service has is answered with no endpoints; elsewhere in Ranges such an address
	// may be a node's, and is passed through.
	ServiceRanges []netip.Prefix
	// ServerFirstPorts are ports on which the server speaks first, besides
	// DefaultServerFirstPorts.
	ServerFirstPorts []uint16
	// RefuseOutside refuses connections to addresses outside Ranges.
	RefuseOutside bool
	// ConnectTimeout etc. are fixed by package policy, not here.
}
