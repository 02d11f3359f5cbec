package ads

import "strings"

// typeURLs are the resource types' names on the wire, by Type.
var typeURLs = [numTypes]string{
	Secret:             "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
	Cluster:            "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	Endpoint:           "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	Listener:           "type.googleapis.com/envoy.config.listener.v3.Listener",
	RouteConfiguration: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
	VirtualHost:        "type.googleapis.com/envoy.config.route.v3.VirtualHost",
}

// typeNames are the short names, as people and logs use them.
var typeNames = [numTypes]string{"SDS", "CDS", "EDS", "LDS", "RDS", "VHDS"}

// String returns the name of the discovery service of the type: "CDS".
func (t Type) String() string {
	if t >= numTypes {
		return "unknown type"
	}
	return typeNames[t]
}

// URL returns the type's name on the wire ("type.googleapis.com/..."), "" for
// an unknown one.
func (t Type) URL() string {
	if t >= numTypes {
		return ""
	}
	return typeURLs[t]
}

// Types returns all types in sending order.
func Types() []Type {
	return []Type{Secret, Cluster, Endpoint, Listener, RouteConfiguration, VirtualHost}
}

// ParseType finds a type by its URL or its short name.
func ParseType(s string) (Type, bool) {
	for t := range numTypes {
		if s == typeURLs[t] || strings.EqualFold(s, typeNames[t]) {
			return t, true
		}
	}
	return 0, false
}

// String returns "CDS shop/cart:80", with the variant in brackets if there is one.
func (k Key) String() string {
	if k.Variant == "" {
		return k.Type.String() + " " + k.Name
	}
	return k.Type.String() + " " + k.Name + " [" + k.Variant + "]"
}

// String returns "CDS shop/cart:80".
func (r Ref) String() string { return r.Type.String() + " " + r.Name }

// waitsForClient reports a type whose names Envoy subscribes to by itself, as
// it meets them in other resources. Such a resource cannot be pushed to a client
// that has not subscribed to it.
func (t Type) waitsForClient() bool {
	return t == Secret || t == Endpoint || t == RouteConfiguration
}

// window is the number of responses of the type that may be unanswered at once.
// What changes meanwhile coalesces. It is small for what costs Envoy more, so
// that heavy changes go at the pace of the client's answers.
func (t Type) window() int {
	if t <= Endpoint {
		return 4
	}
	return 2
}
