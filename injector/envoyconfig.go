package injector

import (
	"math"
	"path"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	dnscommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	credentialv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	upstreamcodecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func bootstrapMessage(r resolved) (*bootstrapv3.Bootstrap, error) {
	xds, err := xdsClusterMessage(r)
	if err != nil {
		return nil, err
	}
	health, err := adminListener("health", HealthPort, r.ipv6, "/ready", 5*time.Second)
	if err != nil {
		return nil, err
	}
	metrics, err := adminListener("metrics", MetricsPort, r.ipv6, "/stats/prometheus", 30*time.Second)
	if err != nil {
		return nil, err
	}
	b := &bootstrapv3.Bootstrap{
		Node: nodeMessage(r),
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{health, metrics},
			Clusters: []*clusterv3.Cluster{xds, {
				Name:                 adminCluster,
				ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
				ConnectTimeout:       durationpb.New(time.Second),
				LoadAssignment:       loadAssignment(adminCluster, "127.0.0.1", AdminPort),
			}},
		},
		DynamicResources: dynamicResources(),
		Admin:            adminMessage(),
		LayeredRuntime:   runtimeMessage(),
		StatsConfig:      statsConfig(),

		DeferredStatOptions: deferredStats(),
		// Nothing pushes stats anywhere: merging them every 5 s would only cost CPU in
		// every idle pod. Whoever reads them gets them merged at that moment.
		StatsFlush: &bootstrapv3.Bootstrap_StatsFlushOnAdmin{StatsFlushOnAdmin: true},
	}
	// No overload manager: what is too much for the sidecar is the pod's memory
	// limit's to say, and a limit of connections would fail the app for nothing.
	return b, b.ValidateAll()
}

// nodeMessage names the proxy. It is a label only: who the proxy is, its token
// says.
func nodeMessage(r resolved) *corev3.Node {
	text := structpb.NewStringValue
	return &corev3.Node{
		Id:      r.podNamespace + "/" + r.podName,
		Cluster: r.podNamespace,
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"pod":       text(r.podName),
			"namespace": text(r.podNamespace),
			"uid":       text(r.podUID),
			"node":      text(r.nodeName),
		}},
	}
}

// dynamicResources is one delta ADS stream for everything.
func dynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	overADS := func() *corev3.ConfigSource {
		return &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
			ResourceApiVersion:    corev3.ApiVersion_V3,
			// 0 waits for ever. With the default of 15 s a sidecar without a control plane
			// turns LIVE without any listener, and the app starts into a dead redirect.
			InitialFetchTimeout: durationpb.New(0),
		}
	}
	return &bootstrapv3.Bootstrap_DynamicResources{
		LdsConfig: overADS(),
		CdsConfig: overADS(),
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
					ClusterName: XDSCluster,
					// Between two attempts to open the stream, jittered. The default goes up to
					// 30 s, in which a first call has long failed.
					RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
						BaseInterval: durationpb.New(500 * time.Millisecond),
						MaxInterval:  durationpb.New(10 * time.Second),
					}},
				}},
			}},
		},
	}
}

// runtimeMessage is a static layer only: without an admin layer nothing in the
// pod can change it.
func runtimeMessage() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "fairlead",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			// A request that was held for its cluster is routed again when the cluster is
			// there, so that the virtual host which came just before it counts.
			"envoy.reloadable_features.on_demand_cluster_no_recreate_stream": structpb.NewBoolValue(false),
			// Envoy refuses regular expressions of more than 100 instructions, which
			// [a-z0-9-]{1,63} has already. How big one may be is checked where routes are
			// read, and said there.
			"re2.max_program_size.error_level": structpb.NewNumberValue(math.MaxUint32),
		}}},
	}}}
}

// xdsClusterMessage is the control plane: HTTP/2 over TLS, the token added to
// every request by a filter in front of the codec.
func xdsClusterMessage(r resolved) (*clusterv3.Cluster, error) {
	protocol, err := xdsProtocol(r)
	if err != nil {
		return nil, err
	}
	tls, err := xdsTLS(r)
	if err != nil {
		return nil, err
	}
	c := &clusterv3.Cluster{
		Name:           XDSCluster,
		ConnectTimeout: durationpb.New(5 * time.Second),
		LoadAssignment: loadAssignment(XDSCluster, r.host, r.port),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol,
		},
		TransportSocket: &corev3.TransportSocket{
			Name:       "envoy.transport_sockets.tls",
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: tls},
		},
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{
			TcpKeepalive: &corev3.TcpKeepalive{
				KeepaliveProbes:   wrapperspb.UInt32(3),
				KeepaliveTime:     wrapperspb.UInt32(30),
				KeepaliveInterval: wrapperspb.UInt32(10),
			},
		},
	}
	if r.static {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		return c, nil
	}
	c.ClusterDiscoveryType, err = dnsDiscovery()
	return c, err
}

// dnsDiscovery looks the control plane up by DNS, in both families. The address of
// a Service hardly ever changes, and every sidecar of the cluster asks: so seldom
// while all is well, and often while the name does not resolve.
func dnsDiscovery() (*clusterv3.Cluster_ClusterType, error) {
	config, err := anypb.New(&dnsv3.DnsCluster{
		DnsLookupFamily: dnscommonv3.DnsLookupFamily_ALL,
		DnsRefreshRate:  durationpb.New(time.Minute),
		DnsJitter:       durationpb.New(10 * time.Second),
		DnsFailureRefreshRate: &dnsv3.DnsCluster_RefreshRate{
			BaseInterval: durationpb.New(500 * time.Millisecond),
			MaxInterval:  durationpb.New(5 * time.Second),
		},
	})
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster_ClusterType{
		ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "envoy.clusters.dns", TypedConfig: config},
	}, nil
}

func xdsProtocol(r resolved) (*anypb.Any, error) {
	generic, err := anypb.New(&genericv3.Generic{
		Credential:        &tlsv3.SdsSecretConfig{Name: tokenSecret, SdsConfig: fileSDS(r, TokenSDSFile)},
		HeaderValuePrefix: "Bearer ",
	})
	if err != nil {
		return nil, err
	}
	injector, err := anypb.New(&credentialv3.CredentialInjector{
		Overwrite: true,
		Credential: &corev3.TypedExtensionConfig{
			Name: "envoy.http.injected_credentials.generic", TypedConfig: generic,
		},
	})
	if err != nil {
		return nil, err
	}
	codec, err := anypb.New(&upstreamcodecv3.UpstreamCodec{})
	if err != nil {
		return nil, err
	}
	return anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
						// A control plane that vanished without a word is noticed in 40 s at most.
						ConnectionKeepalive: &corev3.KeepaliveSettings{
							Interval: durationpb.New(30 * time.Second),
							Timeout:  durationpb.New(10 * time.Second),
						},
						// One stream at a time: windows of megabytes (the default) would only let
						// more wait in memory.
						InitialStreamWindowSize:     wrapperspb.UInt32(1 << 20),
						InitialConnectionWindowSize: wrapperspb.UInt32(1 << 20),
					},
				},
			},
		},
		HttpFilters: []*hcmv3.HttpFilter{
			{Name: "envoy.filters.http.credential_injector", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: injector}},
			{Name: "envoy.filters.http.upstream_codec", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: codec}},
		},
	})
}

// xdsTLS checks the control plane's certificate against the trust bundle and the
// one name that it may have.
func xdsTLS(r resolved) (*anypb.Any, error) {
	sanType := tlsv3.SubjectAltNameMatcher_DNS
	if isAddress(r.certName) {
		sanType = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	c := &tlsv3.UpstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3},
			AlpnProtocols: []string{"h2"},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext: &tlsv3.CertificateValidationContext{
						MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
							SanType: sanType,
							Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: r.certName}},
						}},
					},
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: rootSecret, SdsConfig: fileSDS(r, RootSDSFile)},
				},
			},
		},
	}
	if sanType == tlsv3.SubjectAltNameMatcher_DNS { // SNI holds names only (RFC 6066, section 3)
		c.Sni = r.certName
	}
	return anypb.New(c)
}

// fileSDS reads a secret from a file of the config folder. The folder is watched,
// not the file: a projected volume swaps its link ..data.
func fileSDS(r resolved, file string) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:  corev3.ApiVersion_V3,
		InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{PathConfigSource: &corev3.PathConfigSource{
			Path:             path.Join(r.dir, file),
			WatchedDirectory: &corev3.WatchedDirectory{Path: r.dir},
		}},
	}
}

func loadAssignment(cluster, host string, port uint32) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(host, port)}},
		}}}},
	}
}

func socketAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
