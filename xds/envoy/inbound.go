package envoy

import (
	"strconv"

	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
)

// The inbound listener's filter chains. Those of mutual TLS are named as in the
// outbound listener.
const (
	chainTLS           = "tls" // of the app's own
	chainPlaintextHTTP = "plaintext-http"
	chainPlaintextTCP  = "plaintext-tcp"
	chainLoopInbound   = "loop-inbound"
	chainLoopOutbound  = "loop-outbound"
)

// Inbound is what the inbound listener depends on. No pod's address is in it, so
// that pods of a kind share its bytes.
type Inbound struct {
	// IPv6 says that the cluster has IPv6 addresses.
	IPv6 bool
	// HTTPPorts are ports on which the app serves HTTP and nothing else.
	HTTPPorts []uint16
}

// NewInboundListener makes the inbound listener. HTTPPorts stand in the
// filter_chain_matcher only, which Envoy updates in place: no connection is drained.
func NewInboundListener(in Inbound) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name:             InboundName,
		Address:          address("0.0.0.0", InboundPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		ListenerFilters:  []*listenerv3.ListenerFilter{originalDst(), tlsInspector(), httpInspector()},
		// A plaintext client of an app that speaks first sends nothing first: after
		// this it goes on as TCP.
		ListenerFiltersTimeout:           lasting(inspectTimeout),
		ContinueOnListenerFiltersTimeout: true,
		FilterChainMatcher:               inboundMatcher(in),
		FilterChains: []*listenerv3.FilterChain{
			closed(chainLoopInbound),
			closed(chainLoopOutbound),
			closed(chainRefuse),
			{
				Name:            chainHTTP,
				TransportSocket: downstreamTLS(),
				Filters:         []*listenerv3.Filter{inboundHTTP(InboundName, true)},
			},
			{
				Name:            chainTCP,
				TransportSocket: downstreamTLS(),
				Filters:         []*listenerv3.Filter{tcpProxy(tcpTo("inbound-tcp", InboundName))},
			},
			{Name: chainTLS, Filters: []*listenerv3.Filter{tcpProxy(tcpTo("inbound-tls", InboundName))}},
			{Name: chainPlaintextHTTP, Filters: []*listenerv3.Filter{inboundHTTP("inbound-plaintext", false)}},
			{Name: chainPlaintextTCP, Filters: []*listenerv3.Filter{tcpProxy(tcpTo("inbound-plaintext-tcp", InboundName))}},
		},
	}
	if in.IPv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: address("::", InboundPort)}}
	}
	return l
}

// closed is a chain that closes connections.
func closed(name string) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{Name: name, Filters: []*listenerv3.Filter{tcpProxy(tcpTo(name, BlackholeName))}}
}

// inboundMatcher picks the inbound filter chain: by port, then by what the inspectors
// saw. A connection to a port of the sidecar itself is closed: forwarded, it would
// come back for ever.
//
// On a port for HTTP everything is, also what has not been said within a second: an
// app there trusts what the sidecar says of its caller, so no byte may get round it.
// What is no HTTP then is answered with a 400.
func inboundMatcher(in Inbound) *xdsmatcherv3.Matcher {
	protocols := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	for _, p := range httpProtocols() {
		protocols[quoted(p)] = toChain(chainPlaintextHTTP)
	}
	plaintext := byValue("protocol", &networkv3.ApplicationProtocolInput{}, protocols, toChain(chainPlaintextTCP))

	ports := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	for _, p := range in.HTTPPorts {
		ports[strconv.Itoa(int(p))] = inboundChains(chainHTTP, chainRefuse, toChain(chainPlaintextHTTP))
	}
	ports[strconv.Itoa(InboundPort)] = toChain(chainLoopInbound)
	ports[strconv.Itoa(OutboundPort)] = toChain(chainLoopOutbound)
	return byValue("port", &networkv3.DestinationPortInput{}, ports, inboundChains(chainTCP, chainTLS, plaintext)).GetMatcher()
}

// inboundChains says what becomes of mutual TLS around TCP, of the app's own TLS, and
// of plaintext.
func inboundChains(tcp, tls string, plaintext *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher_OnMatch {
	return byValue("transport", &networkv3.TransportProtocolInput{}, map[string]*xdsmatcherv3.Matcher_OnMatch{
		"tls": byValue("protocol", &networkv3.ApplicationProtocolInput{}, map[string]*xdsmatcherv3.Matcher_OnMatch{
			quoted(alpnHTTP): toChain(chainHTTP),
			quoted(alpnTCP):  toChain(tcp),
		}, toChain(tls)),
	}, plaintext)
}
