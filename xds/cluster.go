package xds

import (
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

// apiServer is the Service that is passed through untouched: a pod must reach it
// without the control plane.
var apiServer = mesh.Name{Namespace: "default", Name: "kubernetes"}

func cluster(k ads.Key, v mesh.View) (ads.Built, error) {
	n, ok := envoy.ParseCluster(k.Name)
	switch {
	case !ok:
		return unknown(ads.Cluster, k.Name)
	case n.Fixed == envoy.InboundName:
		return built(envoy.NewInboundCluster()), nil
	case n.Fixed == envoy.PassthroughName:
		return built(envoy.NewPassthrough(n)), nil
	case n.Fixed == envoy.BlackholeName:
		return built(envoy.NewEmpty(n)), nil
	case n.Address.IsValid():
		namespace, tooMany := strings.CutSuffix(k.Variant, overflow)
		if n.TCP && silent(n, v, namespace) {
			return built(envoy.NewEmpty(n)), nil
		}
		return addressCluster(n, v, tooMany), nil
	default:
		return backendCluster(n, v), nil
	}
}

// silent reports that who calls an address as TCP, from that namespace, calls a port
// that is declared HTTP. What he has not said within a second is HTTP all the same
// (clients open connections in advance): sent on, it would go round the rules, and
// what it claims of itself would reach the app. He is closed, as an HTTP server does
// with idle connections, and a client of HTTP is used to it.
func silent(n envoy.ClusterName, v mesh.View, namespace string) bool {
	if s := serviceAt(v, n.Address); s != nil {
		return s.Name != apiServer && policy.DeclaredHTTP(v, namespace, s.Name, n.Address.Port())
	}
	owner := v.Owner(n.Address.Addr())
	if owner.Pod.IsZero() {
		return false
	}
	pod := v.Pod(owner.Pod)
	return pod != nil && slices.Contains(v.HTTPPorts(pod.Workload), n.Address.Port())
}

func built(c *clusterv3.Cluster) ads.Built { return ads.Built{Message: c} }

// addressCluster is what a call to an address gets, whosever it is now.
func addressCluster(n envoy.ClusterName, v mesh.View, tooMany bool) ads.Built {
	called := n.Address.Addr()
	if s := serviceAt(v, n.Address); s != nil {
		return serviceCluster(n, v, s)
	}
	owner := v.Owner(called)
	if pod := v.Pod(owner.Pod); !owner.Pod.IsZero() && pod != nil {
		switch {
		case !tooMany:
			return built(envoy.NewPodCluster(n, pod))
		case pod.Meshed:
			return built(envoy.NewEmpty(n)) // never in plaintext what is due to be encrypted
		}
	}
	if !owner.Service.IsZero() && isClusterIP(v, owner.Service, called) {
		return built(envoy.NewEmpty(n)) // a port that the Service does not have
	}
	if owner.UnknownPod {
		return built(envoy.NewEmpty(n)) // it may have a sidecar: never in plaintext
	}
	if owner.IsZero() && slices.ContainsFunc(settings(v).ServiceRanges, func(p netip.Prefix) bool { return p.Contains(called) }) {
		return built(envoy.NewEmpty(n)) // a Service that is gone
	}
	return built(envoy.NewPassthrough(n))
}

// serviceAt finds the Service that means a port of an address: its owner, or for
// an address that is shared the one that has the port.
func serviceAt(v mesh.View, a netip.AddrPort) *mesh.Service {
	owner := v.Owner(a.Addr())
	if owner.Service.IsZero() {
		return nil
	}
	if s := v.Service(owner.Service); envoy.TCPPort(s, a.Port()) != nil || isClusterIP(v, owner.Service, a.Addr()) {
		return withPort(s, a.Port())
	}
	for _, name := range v.Sharers(a.Addr()) {
		if s := withPort(v.Service(name), a.Port()); s != nil {
			return s
		}
	}
	return nil
}

func withPort(s *mesh.Service, port uint16) *mesh.Service {
	if envoy.TCPPort(s, port) == nil {
		return nil
	}
	return s
}

// isClusterIP reports an address that is the Service's own: all its ports are. An
// external one may be a node's, with other things on other ports.
func isClusterIP(v mesh.View, service mesh.Name, a netip.Addr) bool {
	s := v.Service(service)
	return s != nil && slices.Contains(s.Addresses, a)
}

func serviceCluster(n envoy.ClusterName, v mesh.View, s *mesh.Service) ads.Built {
	if s.Name == apiServer {
		return built(envoy.NewPassthrough(n))
	}
	target := policy.Target{Service: s.Name, Port: n.Address.Port()}
	b := edsCluster(v, n, envoy.AssignmentName{Target: target, Family: envoy.FamilyOf(s, n.Address.Addr())})
	if !n.TCP {
		// The rules come just before the cluster that a first call waits for, which is
		// then routed by them.
		rules := ads.Ref{Type: ads.VirtualHost, Name: envoy.VirtualHostName(n.Address)}
		b.Refs = append(b.Refs, rules)
		b.After = []ads.Ref{rules}
	}
	return b
}

func edsCluster(v mesh.View, n envoy.ClusterName, e envoy.AssignmentName) ads.Built {
	b := built(envoy.NewServiceCluster(envoy.ServiceCluster{
		Name:      n,
		Endpoints: e,
		Defaults:  policy.ServiceDefaults(v, e.Service, e.Port),
	}))
	b.Refs = []ads.Ref{{Type: ads.Endpoint, Name: e.String()}}
	return b
}

// backendCluster is what a rule names. Without its Service it is empty.
func backendCluster(n envoy.ClusterName, v mesh.View) ads.Built {
	if envoy.TCPPort(v.Service(n.Backend.Service), n.Backend.Port) == nil {
		return built(envoy.NewEmpty(n))
	}
	return edsCluster(v, n, envoy.AssignmentName{Target: n.Backend})
}

func endpoints(name string, v mesh.View) (ads.Built, error) {
	n, ok := envoy.ParseAssignment(name)
	if !ok {
		return unknown(ads.Endpoint, name)
	}
	service := v.Service(n.Service)
	if envoy.TCPPort(service, n.Port) == nil {
		// Whoever names it is about to be replaced. Until then it keeps its endpoints
		// (Envoy ignores the removal), so that the calls of an address which another
		// Service takes over meet no gap.
		return ads.Built{}, nil
	}
	return ads.Built{
		Message: envoy.NewAssignment(n, service, v.Endpoints(n.Service)),
		// An endpoint with a new account is of no use before the account is accepted.
		After: []ads.Ref{peers(n.Service)},
	}, nil
}

func peers(service mesh.Name) ads.Ref {
	return ads.Ref{Type: ads.Secret, Name: envoy.SecretName{Service: service}.String()}
}
