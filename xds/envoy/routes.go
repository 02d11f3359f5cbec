package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// NewOutboundRoutes makes the outbound route configuration. Its virtual hosts
// come over VHDS; the address that was called picks one, whatever the Host.
func NewOutboundRoutes() *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name:                    OutboundName,
		VhostHeader:             headerDestination,
		Vhds:                    &routev3.Vhds{ConfigSource: overADS()},
		RequestHeadersToRemove:  []string{headerDestination},
		ResponseHeadersToRemove: []string{headerUnreached},
		ValidateClusters:        no(),
	}
}

// NewAnyAddress makes the virtual host of all addresses without rules: the
// cluster is named by the address, and fetched when it is first asked for.
func NewAnyAddress() *routev3.VirtualHost {
	action := func() *routev3.RouteAction {
		return &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_ClusterHeader{ClusterHeader: headerDestination},
			Timeout:          lasting(0),
		}
	}
	return &routev3.VirtualHost{
		Name:    AnyAddress,
		Domains: []string{"*"},
		Routes:  everything("default", action),
	}
}

// NewInboundRoutes makes the inbound route configuration: everything goes to the
// app.
func NewInboundRoutes() *routev3.RouteConfiguration {
	action := func() *routev3.RouteAction {
		return &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: InboundName},
			Timeout:          lasting(0),
		}
	}
	return &routev3.RouteConfiguration{
		Name:         InboundName,
		VirtualHosts: []*routev3.VirtualHost{{Name: "app", Domains: []string{"*"}, Routes: everything("app", action)}},
		// An app cannot make its caller try again elsewhere. The sidecar's own replies
		// are not touched by this.
		ResponseHeadersToRemove: []string{headerUnreached},
		ValidateClusters:        no(),
	}
}

// everything routes all requests: those with a path, and CONNECT, which has none.
// Envoy answers "OPTIONS *" itself, with a 404.
func everything(name string, action func() *routev3.RouteAction) []*routev3.Route {
	return []*routev3.Route{
		{
			Name:   name,
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}},
			Action: &routev3.Route_Route{Route: action()},
		},
		{
			Name:   name + "/connect",
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_ConnectMatcher_{ConnectMatcher: &routev3.RouteMatch_ConnectMatcher{}}},
			Action: &routev3.Route_Route{Route: action()},
		},
	}
}

func header(key, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:         &corev3.HeaderValue{Key: key, Value: value},
		AppendAction:   action,
		KeepEmptyValue: true,
	}
}
