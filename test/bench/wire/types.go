package wire

// Type is a resource type in the order in which an Envoy comes to need them.
type Type uint8

// The types that a sidecar subscribes to.
const (
	Cluster Type = iota
	Endpoint
	Secret
	Listener
	RouteConfiguration
	VirtualHost
	NumTypes
)

var urls = [NumTypes]string{
	Cluster:            "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	Endpoint:           "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	Secret:             "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
	Listener:           "type.googleapis.com/envoy.config.listener.v3.Listener",
	RouteConfiguration: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
	VirtualHost:        "type.googleapis.com/envoy.config.route.v3.VirtualHost",
}

// URL returns the type URL.
func (t Type) URL() string { return urls[t] }

// TypeOf finds the type of a URL.
func TypeOf(url string) (Type, bool) {
	for t, u := range urls {
		if u == url {
			return Type(t), true
		}
	}
	return 0, false
}
