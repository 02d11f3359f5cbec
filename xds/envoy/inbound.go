package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// Inbound is what the inbound listener depends on. No pod's address is in it, so
// that pods of a kind share its bytes.
type Inbound struct {
	// IPv6 says that the cluster has IPv6 addresses.
	IPv6 bool
}

// NewInboundListener makes the inbound listener.
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
		FilterChains: []*listenerv3.FilterChain{
			guard("loop-inbound", InboundPort),
			guard("loop-outbound", OutboundPort),
			{
				Name:             chainHTTP,
				FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls", ApplicationProtocols: []string{alpnHTTP}},
				TransportSocket:  downstreamTLS(),
				Filters:          []*listenerv3.Filter{inboundHTTP(InboundName, true)},
			},
			{
				Name:             chainTCP,
				FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls", ApplicationProtocols: []string{alpnTCP}},
				TransportSocket:  downstreamTLS(),
				Filters:          []*listenerv3.Filter{tcpProxy(tcpTo("inbound-tcp", InboundName))},
			},
			{ // TLS that the app makes itself
				Name:             "tls",
				FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls"},
				Filters:          []*listenerv3.Filter{tcpProxy(tcpTo("inbound-tls", InboundName))},
			},
			{
				Name:             "plaintext-http",
				FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: httpProtocols()},
				Filters:          []*listenerv3.Filter{inboundHTTP("inbound-plaintext", false)},
			},
			{
				Name:             "plaintext-tcp",
				FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer"},
				Filters:          []*listenerv3.Filter{tcpProxy(tcpTo("inbound-plaintext-tcp", InboundName))},
			},
		},
	}
	if in.IPv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: address("::", InboundPort)}}
	}
	return l
}

// guard closes connections to a port of the sidecar itself: forwarded, they
// would come back for ever.
func guard(name string, port uint32) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name:             name,
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: number(port)},
		Filters:          []*listenerv3.Filter{tcpProxy(tcpTo(name, BlackholeName))},
	}
}
