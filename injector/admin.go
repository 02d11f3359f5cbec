package injector

import (
	"net/netip"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// readOnlyPaths are what the admin listener answers; the rest gets 403, so that
// no app in the pod can stop or drain its sidecar. Envoy redacts private keys and
// tokens in config_dump.
const readOnlyPaths = `/(ready|stats(/prometheus)?|clusters|listeners|config_dump|init_dump|certs|server_info|memory|runtime)(\?.*)?`

// adminMessage listens on loopback only. Other pods get at the two paths that
// adminListener opens, and a person by a port-forward.
func adminMessage() *bootstrapv3.Admin {
	return &bootstrapv3.Admin{
		Address:    socketAddress("127.0.0.1", AdminPort),
		AllowPaths: []*matcherv3.StringMatcher{matches(readOnlyPaths)},
	}
}

// adminListener opens one path of the admin listener to the outside of the pod.
func adminListener(name string, port uint32, ipv6 bool, path string, timeout time.Duration) (*listenerv3.Listener, error) {
	router, err := anypb.New(&routerv3.Router{SuppressEnvoyHeaders: true})
	if err != nil {
		return nil, err
	}
	hcm, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix: name,
		CodecType:  hcmv3.HttpConnectionManager_HTTP1,
		HttpFilters: []*hcmv3.HttpFilter{{
			Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router},
		}},
		// A client that opens connections and says nothing must not hold them.
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(time.Minute)},
		RequestHeadersTimeout:     durationpb.New(5 * time.Second),
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: name,
			VirtualHosts: []*routev3.VirtualHost{{
				Name:    name,
				Domains: []string{"*"},
				Routes: []*routev3.Route{{
					Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: path}},
					Action: &routev3.Route_Route{Route: &routev3.RouteAction{
						ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: adminCluster},
						Timeout:          durationpb.New(timeout),
					}},
				}},
			}},
		}},
	})
	if err != nil {
		return nil, err
	}
	address := socketAddress("0.0.0.0", port)
	if ipv6 {
		address = socketAddress("::", port)
		address.GetSocketAddress().Ipv4Compat = true
	}
	return &listenerv3.Listener{
		Name:    name,
		Address: address,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: hcm},
		}}}},
	}, nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}
