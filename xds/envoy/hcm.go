package envoy

import (
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
)

const (
	// headerDestination carries the address that was called from the early header
	// mutation to the choice of virtual host and cluster. It never leaves the proxy.
	headerDestination = "x-fairlead-destination"
	// headerPrefix starts all headers of the mesh. Apps cannot set them.
	headerPrefix = "x-fairlead-"
	// downstreamAddress prints the address from before the redirect.
	downstreamAddress = "%DOWNSTREAM_LOCAL_ADDRESS%"

	filterCORS = "envoy.filters.http.cors"
)

// outboundHTTP is the HTTP connection manager in front of the app's calls.
func outboundHTTP() *listenerv3.Filter {
	m := connectionManager(OutboundName)
	m.EarlyHeaderMutationExtensions = early(
		stripOwnHeaders(),
		&mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: headerDestination, Value: downstreamAddress},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}},
	)
	m.HttpFilters = []*hcmv3.HttpFilter{
		httpFilter("envoy.filters.http.on_demand", &ondemandv3.OnDemand{Odcds: &ondemandv3.OnDemandCds{
			Source:  overADS(),
			Timeout: lasting(onDemandTimeout),
		}}),
		httpFilter(filterCORS, &corsv3.Cors{}),
		router(),
	}
	m.LocalReplyConfig = undiscoveredReply()
	// The path goes on as the app wrote it. The server's sidecar normalizes it.
	return connectionManagerFilter(m)
}

// inboundHTTP is the HTTP connection manager in front of the app's own port. mesh
// says that the caller is a sidecar, which knows what to do with
// headerUnreached.
func inboundHTTP(statPrefix string, mesh bool) *listenerv3.Filter {
	m := connectionManager(InboundName)
	m.StatPrefix = statPrefix
	m.EarlyHeaderMutationExtensions = early(stripOwnHeaders())
	m.HttpFilters = []*hcmv3.HttpFilter{router()}
	// Dot segments are resolved, so that who may call a path can be decided by it.
	// Slashes stay: "//" and "%2F" mean something to apps (object stores, RabbitMQ).
	m.NormalizePath = yes()
	// Replaces what the caller wrote with who it proved to be, or with nothing if it
	// proved nothing.
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	if mesh {
		m.LocalReplyConfig = unreachedReply()
	}
	return connectionManagerFilter(m)
}

// connectionManager holds what both directions share: the proxy is not to be
// noticed by the apps.
func connectionManager(name string) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix: name,
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			RouteConfigName: name,
			ConfigSource:    overADS(),
		}},
		HttpProtocolOptions:  serverHTTP1(),
		Http2ProtocolOptions: http2(),
		// Whether a body is wanted is the app's word; 103 passes with it.
		Proxy_100Continue: true,
		// A quiet stream is not a dead one (watches, chats, long polls): no limit of our
		// own. Keep-alives find dead peers.
		StreamIdleTimeout: lasting(0),
		// A response that breaks off is a closed connection to an HTTP/1 caller, and he
		// is to know soon (Envoy's second would be spent in both sidecars). The wait is
		// there for a caller who still sends: closed at once, the kernel would reset
		// the connection, and he might miss the answer.
		DelayedCloseTimeout:        lasting(250 * time.Millisecond),
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		UseRemoteAddress:           no(),
		SkipXffAppend:              true,
		GenerateRequestId:          no(),
		PreserveExternalRequestId:  true,
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{
			{UpgradeType: "websocket"},
			{UpgradeType: "CONNECT"},  // an HTTP proxy in the cluster
			{UpgradeType: "tcp"},      // Docker's attach and exec
			{UpgradeType: "SPDY/3.1"}, // kubectl's, until 1.31 its only way to exec
		},
	}
}

// serverHTTP1 takes what old callers send and offer.
func serverHTTP1() *corev3.Http1ProtocolOptions {
	o := http1()
	o.AcceptHttp_10 = true
	o.DefaultHostForHttp_10 = "localhost"
	// Apache's client offers this with every first request. A server may ignore it
	// (RFC 9110, section 7.8); Envoy would answer with a 403.
	o.IgnoreHttp_11Upgrade = []*matcherv3.StringMatcher{{
		MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "TLS/"},
		IgnoreCase:   true,
	}}
	return o
}

// unreachedReply marks the replies to requests that never reached the app (UF:
// no connection to it), so that the caller's sidecar may try another endpoint
// whatever the method.
func unreachedReply() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"UF"}},
		}},
		HeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: headerUnreached, Value: "1"}}},
	}}}
}

// undiscoveredReply says what is wrong when the cluster of a first call did not come
// in time (NC). Envoy's own 503 has no body then.
func undiscoveredReply() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"NC"}},
		}},
		BodyFormatOverride: formatted("fairlead: the sidecar does not know " + downstreamAddress +
			" yet, and the control plane has not answered in time; try again\n"),
	}}}
}

// stripOwnHeaders removes the mesh's headers that an app made up.
func stripOwnHeaders() *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_RemoveOnMatch_{
		RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: headerPrefix},
		}},
	}}
}

func early(m ...*mutationv3.HeaderMutation) []*corev3.TypedExtensionConfig {
	return []*corev3.TypedExtensionConfig{
		extension("envoy.http.early_header_mutation.header_mutation", &earlyv3.HeaderMutation{Mutations: m}),
	}
}

// router adds no header of Envoy's to what it forwards.
func router() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: true})
}

func httpFilter(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(m)}}
}

func connectionManagerFilter(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(m)},
	}
}
