package envoy

import (
	"net/netip"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// Ports of the sidecar that take redirected connections.
const (
	OutboundPort = 15001
	InboundPort  = 15006
)

const (
	// onDemandTimeout bounds how long a first call waits for its cluster.
	onDemandTimeout = 5 * time.Second
	// inspectTimeout bounds how long a connection waits for its client to speak. After
	// that it goes on as TCP.
	inspectTimeout = time.Second
)

// The outbound listener's filter chains.
const (
	chainHTTP        = "mesh-http"
	chainTCP         = "mesh-tcp"
	chainPassthrough = "passthrough"
	chainRefuse      = "refuse"
)

// Outbound is what the outbound listener depends on. It is the same for every
// proxy.
type Outbound struct {
	// Ranges are the Service and pod ranges; External are single addresses that mean
	// a Service though they are outside (load balancers, externalIPs).
	Ranges   []netip.Prefix
	External []netip.Addr
	// Untouched are addresses that are passed through though they are inside: the
	// API server's, which a pod must reach without the control plane.
	Untouched []netip.Addr
	// RefuseOutside closes connections to everything else.
	RefuseOutside bool
	// ServerFirstPorts skip the wait for the client's first bytes. An edit of them
	// drains all outbound connections.
	ServerFirstPorts []uint16
}

// NewOutbound makes the outbound listener. Ranges, External, Untouched and
// RefuseOutside stand in the filter_chain_matcher only, which Envoy updates in
// place: no connection is drained.
func NewOutbound(o Outbound) *listenerv3.Listener {
	l := &listenerv3.Listener{
		Name: OutboundName,
		// The redirect in the pod's output hook goes to the loopback address. Nobody
		// outside the pod can reach this listener.
		Address:          address("127.0.0.1", OutboundPort),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		DrainType:        listenerv3.Listener_MODIFY_ONLY,
		ListenerFilters: []*listenerv3.ListenerFilter{
			originalDst(),
			unlessPort(httpInspector(), o.ServerFirstPorts),
		},
		ListenerFiltersTimeout:           lasting(inspectTimeout),
		ContinueOnListenerFiltersTimeout: true,
		FilterChainMatcher:               outboundMatcher(o),
		FilterChains: []*listenerv3.FilterChain{
			{Name: chainHTTP, Filters: []*listenerv3.Filter{outboundHTTP()}},
			{Name: chainTCP, Filters: outboundTCP()},
			{Name: chainPassthrough, Filters: []*listenerv3.Filter{tcpProxy(tcpTo(PassthroughName, PassthroughName))}},
			{Name: chainRefuse, Filters: []*listenerv3.Filter{tcpProxy(tcpTo(chainRefuse, BlackholeName))}},
		},
	}
	if HasIPv6(o.Ranges) {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: address("::1", OutboundPort)}}
	}
	return l
}

// HasIPv6 reports that some of the addresses are IPv6: listeners then have an
// address of that family as well.
func HasIPv6(ranges []netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// outboundTCP asks for the cluster "tcp/<address>" and holds the connection
// until it is there.
func outboundTCP() []*listenerv3.Filter {
	tcp := tcpTo(chainTCP, BlackholeName) // overridden by the filter state
	tcp.OnDemand = &tcpproxyv3.TcpProxy_OnDemand{OdcdsConfig: overADS(), Timeout: lasting(onDemandTimeout)}
	// Nothing has been sent, so another endpoint may be tried. There is no memory of
	// those that were: of two endpoints the dead one is drawn at least every other
	// time until it is ejected.
	tcp.MaxConnectAttempts = number(10)
	// Only hashing clusters look at it.
	tcp.HashPolicy = []*typev3.HashPolicy{{
		PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}},
	}}
	return []*listenerv3.Filter{
		{
			Name: "envoy.filters.network.set_filter_state",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(&setstatev3.Config{
				OnNewConnection: []*filterstatev3.FilterStateValue{{
					Key: &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: "envoy.tcp_proxy.cluster"},
					Value: &filterstatev3.FilterStateValue_FormatString{
						FormatString: formatted(tcpPrefix + downstreamAddress),
					},
				}},
			})},
		},
		tcpProxy(tcp),
	}
}

// tcpTo forwards to a cluster for as long as both ends like: a database
// connection may be idle over night.
func tcpTo(statPrefix, cluster string) *tcpproxyv3.TcpProxy {
	return &tcpproxyv3.TcpProxy{
		StatPrefix:       statPrefix,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		IdleTimeout:      lasting(0),
	}
}

func tcpProxy(p *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.tcp_proxy",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(p)},
	}
}

func formatted(text string) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{Format: &corev3.SubstitutionFormatString_TextFormatSource{
		TextFormatSource: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}},
	}}
}
