package ads

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/mesh"
)

// Type is one of the resource types that the server speaks, in the order in
// which it sends them (make before break).
type Type uint8

// The types, in sending order.
const (
	Secret Type = iota
	Cluster
	Endpoint // ClusterLoadAssignment
	Listener
	RouteConfiguration
	VirtualHost
	numTypes
)

// Key names one built resource: a type, a name and a variant. The variant is a
// small class of clients for which the resource reads alike (the namespace of
// the consumer routes, say); it is "" for what is the same for everyone. Keys
// whose bytes are equal share them.
type Key struct {
	Type    Type
	Name    string
	Variant string
}

// Client is what a Source may know of the proxy at the other end. It is set
// once, when the stream is admitted; a change of any field makes a new Client
// (Config.Refresh).
type Client struct {
	Identity mesh.Identity
	Pod      mesh.Name
	PodUID   string
	Workload mesh.Workload
	// Class is the Source's own digest of the pod, opaque to the server.
	Class any
}

// Built is what a Source made of a Key.
type Built struct {
	// Message is the Envoy resource; nil if there is none of that name: the
	// subscriber is told so (removed_resources).
	Message proto.Message
	// Refs name the resources that every holder of this one must hold as well,
	// though it did not ask for them: the virtual host of an address, the clusters
	// of a virtual host. They are resolved for the same client. The endpoints that a
	// cluster refers to are sent again after each version of the cluster.
	Refs []Ref
	// After names the resources whose present version a client must have ACKed
	// before this version is sent to it, as far as it subscribes to them: the
	// SAN list before the endpoint with a new account, the clusters and their
	// endpoints before the virtual host that names them. The server waits a bounded
	// time and counts when it had to go on without.
	After []Ref
	// Version, if set, is used as the resource's version in place of the hash of
	// its content. Only for resources that are private to a client (Source.Private).
	Version string
}

// Renewal says when a private resource is to be made anew.
type Renewal struct {
	// At is the time; zero means never. It already has its jitter.
	At time.Time
}

// Ref names a resource for the client that holds the referring one.
type Ref struct {
	Type Type
	Name string
}

// Source makes the resources that the Server serves. All methods are called
// concurrently and must not block for long: no I/O. They must not call the Server.
type Source interface {
	// Resolve turns a name that c subscribes to into the key of the resource that
	// c gets under it. It depends on nothing but its arguments. False means that c
	// may not have such a resource; it is told that there is none.
	Resolve(c *Client, t Type, name string) (Key, bool)
	// Wildcard names what a wildcard subscription of c to t always holds.
	Wildcard(c *Client, t Type) []string
	// Build makes the resource of k, reading the mesh only through v: what it read
	// is recorded, and a change of any of that builds the resource anew. An error
	// keeps the last good one.
	Build(k Key, v mesh.View) (Built, error)
	// Sticky reports that a client which was once given k must never see it
	// removed, only replaced: an on-demand cluster (Envoy would not ask again).
	// Sticky resources are also what the server learns for a workload's scope.
	Sticky(k Key) bool
	// Private reports that k is made for each client anew by Issue and kept by no one.
	Private(k Key) bool
	// Issue makes a private resource for c. have is the version that c holds, from an
	// earlier stream or (Server.Reissue) from this one, "" if none or if a renewal is
	// due: if it is still good, Issue returns it in Version with a nil Message and
	// nothing is sent. renew says when to call Issue again; then have is "". With an
	// error nothing changes for c, and Issue is called again after a while.
	Issue(ctx context.Context, c *Client, k Key, have string) (b Built, renew Renewal, err error)
}

// Overflower may be implemented by a Source that bounds what one client
// gathers. The Server holds at most Config.StickyLimit sticky resources for a
// client under their own keys; beyond that it uses Overflow(k) for k.
type Overflower interface {
	// Overflow returns what a client gets in place of the sticky key k: a cheap
	// stand-in (a pass-through). Type and Name must be those of k, so the Variant
	// tells them apart.
	Overflow(k Key) Key
}
