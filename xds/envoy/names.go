package envoy

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

// The resources that every proxy holds.
const (
	OutboundName    = "outbound" // listener and route configuration
	InboundName     = "inbound"  // listener, route configuration and cluster
	AnyAddress      = "outbound/*"
	PassthroughName = "outbound-passthrough"
	BlackholeName   = "blackhole"
	LeafSecret      = "default"
	RootsSecret     = "roots"
	peersPrefix     = "peers/"
	peerPrefix      = "peer/"
	tcpPrefix       = "tcp/"
	vhostPrefix     = OutboundName + "/"
	suffixIPv4      = "/ipv4"
	suffixIPv6      = "/ipv6"
	maxLabel        = 63
	maxSubdomain    = 253
)

// ClusterName is a cluster's name in its parts. Exactly one of Address, Backend
// and Fixed is set.
type ClusterName struct {
	// Address is the destination that an app called; TCP says that its bytes are not
	// HTTP.
	Address netip.AddrPort
	TCP     bool
	Backend policy.Target
	// Fixed is one of InboundName, PassthroughName and BlackholeName.
	Fixed string
}

// String returns the resource's name.
func (n ClusterName) String() string {
	switch {
	case n.Fixed != "":
		return n.Fixed
	case n.Address.IsValid() && n.TCP:
		return tcpPrefix + n.Address.String()
	case n.Address.IsValid():
		return n.Address.String()
	default:
		return backend(n.Backend)
	}
}

// ParseCluster reads the name of a cluster. Names come from proxies, so
// anything that String would not write is refused.
func ParseCluster(s string) (ClusterName, bool) {
	switch s {
	case InboundName, PassthroughName, BlackholeName:
		return ClusterName{Fixed: s}, true
	}
	if a, ok := parseAddress(s); ok {
		return ClusterName{Address: a}, true
	}
	if rest, ok := strings.CutPrefix(s, tcpPrefix); ok {
		if a, ok := parseAddress(rest); ok {
			return ClusterName{Address: a, TCP: true}, true
		}
	}
	if t, ok := parseBackend(s); ok {
		return ClusterName{Backend: t}, true
	}
	return ClusterName{}, false
}

// VirtualHostName names the virtual host of an address with rules.
func VirtualHostName(a netip.AddrPort) string { return vhostPrefix + a.String() }

// ParseVirtualHost reads the name of a virtual host. The address is invalid for
// AnyAddress.
func ParseVirtualHost(s string) (netip.AddrPort, bool) {
	if s == AnyAddress {
		return netip.AddrPort{}, true
	}
	rest, ok := strings.CutPrefix(s, vhostPrefix)
	if !ok {
		return netip.AddrPort{}, false
	}
	return parseAddress(rest)
}

// Family says which addresses of a Service's endpoints are meant.
type Family uint8

// The families. Primary is that of the Service's first address, the other one if
// no endpoint has an address of it.
const (
	Primary Family = iota
	IPv4
	IPv6
)

// AssignmentName is the name of a ClusterLoadAssignment.
type AssignmentName struct {
	policy.Target
	Family Family
}

// String returns the resource's name.
func (n AssignmentName) String() string {
	switch n.Family {
	case IPv4:
		return backend(n.Target) + suffixIPv4
	case IPv6:
		return backend(n.Target) + suffixIPv6
	default:
		return backend(n.Target)
	}
}

// ParseAssignment reads what AssignmentName.String writes, and nothing else.
func ParseAssignment(s string) (AssignmentName, bool) {
	n := AssignmentName{}
	if rest, ok := strings.CutSuffix(s, suffixIPv4); ok {
		s, n.Family = rest, IPv4
	} else if rest, ok := strings.CutSuffix(s, suffixIPv6); ok {
		s, n.Family = rest, IPv6
	}
	var ok bool
	n.Target, ok = parseBackend(s)
	return n, ok
}

// SecretName is a secret's name in its parts. Exactly one field is set.
type SecretName struct {
	// Fixed is LeafSecret or RootsSecret.
	Fixed string
	// Service has the accounts of all its endpoints.
	Service mesh.Name
	// Account is one service account.
	Account mesh.Name
}

// String returns the resource's name.
func (n SecretName) String() string {
	switch {
	case n.Fixed != "":
		return n.Fixed
	case !n.Service.IsZero():
		return peersPrefix + n.Service.String()
	default:
		return peerPrefix + n.Account.String()
	}
}

// ParseSecret reads what SecretName.String writes, and nothing else.
func ParseSecret(s string) (SecretName, bool) {
	if s == LeafSecret || s == RootsSecret {
		return SecretName{Fixed: s}, true
	}
	if rest, ok := strings.CutPrefix(s, peersPrefix); ok {
		n, ok := parseName(rest, maxLabel)
		return SecretName{Service: n}, ok
	}
	if rest, ok := strings.CutPrefix(s, peerPrefix); ok {
		n, ok := parseName(rest, maxSubdomain)
		return SecretName{Account: n}, ok
	}
	return SecretName{}, false
}

// backend writes "namespace/service:port".
func backend(t policy.Target) string {
	return t.Service.String() + ":" + strconv.Itoa(int(t.Port))
}

func parseBackend(s string) (policy.Target, bool) {
	name, port, ok := strings.Cut(s, ":")
	if !ok {
		return policy.Target{}, false
	}
	n, ok := parseName(name, maxLabel)
	if !ok {
		return policy.Target{}, false
	}
	p, ok := parsePort(port)
	return policy.Target{Service: n, Port: p}, ok
}

// parseAddress reads "10.96.0.10:80" or "[fd00::1]:80", just as
// %DOWNSTREAM_LOCAL_ADDRESS% prints them: no zone, no IPv4 in IPv6, no other
// spelling.
func parseAddress(s string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 || a.Addr().Zone() != "" || a.Addr().Is4In6() || a.String() != s {
		return netip.AddrPort{}, false
	}
	return a, true
}

func parsePort(s string) (uint16, bool) {
	p, err := strconv.ParseUint(s, 10, 16)
	if err != nil || p == 0 || strconv.FormatUint(p, 10) != s {
		return 0, false
	}
	return uint16(p), true
}

// parseName reads "namespace/name"; a namespace is an RFC 1123 label.
func parseName(s string, longest int) (mesh.Name, bool) {
	ns, name, ok := strings.Cut(s, "/")
	if !ok || !isDNS(ns, maxLabel) || !isDNS(name, longest) {
		return mesh.Name{}, false
	}
	return mesh.Name{Namespace: ns, Name: name}, true
}

// isDNS reports an RFC 1123 label, or a subdomain (with dots) where longest is
// more than a label's length.
func isDNS(s string, longest int) bool {
	if s == "" || len(s) > longest {
		return false
	}
	edge := true // at the start of a label
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			edge = false
		case c == '-' && !edge:
		case c == '.' && !edge && longest > maxLabel && s[i-1] != '-':
			edge = true
		default:
			return false
		}
	}
	return !edge && s[len(s)-1] != '-'
}
