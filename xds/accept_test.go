package xds_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"sigs.k8s.io/yaml"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/xds/envoy"
)

// Every resource of every golden file is accepted by the real Envoy: all of them
// together stand in one static bootstrap, which it validates.
func TestEnvoyAcceptsGolden(t *testing.T) {
	all := newAcceptance(t)
	for i, file := range goldenFiles(t) {
		archive, view := readGolden(t, file)
		for j, s := range sections(t, archive) {
			if m := build(t, view, s.key).Message; m != nil {
				all.add(t, fmt.Sprintf("%d-%d", i, j), m)
			}
		}
	}
	err := all.validate(t)
	if err == nil {
		return
	}
	for i, file := range goldenFiles(t) { // which one is it?
		archive, view := readGolden(t, file)
		for j, s := range sections(t, archive) {
			if m := build(t, view, s.key).Message; m != nil {
				one := newAcceptance(t)
				one.add(t, fmt.Sprintf("%d-%d", i, j), m)
				if err := one.validate(t); err != nil {
					t.Errorf("%s: %s: %v", file, s.key, err)
				}
			}
		}
	}
	t.Fatalf("all together: %v", err)
}

// Envoy is asked, not just started: it refuses what it cannot take.
func TestEnvoyRefuses(t *testing.T) {
	all := newAcceptance(t)
	h := envoy.NewAnyAddress()
	h.Routes[0].Match.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: nil}
	all.add(t, "0", h)
	if all.validate(t) == nil {
		t.Fatal("a route without a match was accepted")
	}
}

// acceptance collects resources in the places of a bootstrap where they fit.
type acceptance struct{ bootstrap *bootstrapv3.Bootstrap }

func newAcceptance(t testing.TB) acceptance {
	t.Helper()
	return acceptance{&bootstrapv3.Bootstrap{
		Node:           &corev3.Node{Id: "golden", Cluster: "golden"},
		LayeredRuntime: sidecarRuntime(t),
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType:             corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "xds"},
			}}},
		}},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{{
			Name:                 "xds",
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			ConnectTimeout:       durationpb.New(1e9),
			TypedExtensionProtocolOptions: map[string]*anypb.Any{
				"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": explicitHTTP2(),
			},
		}}},
	}}
}

// sidecarRuntime is the runtime of a real sidecar's bootstrap, on which some
// resources depend.
func sidecarRuntime(t testing.TB) *bootstrapv3.LayeredRuntime {
	t.Helper()
	text, err := injector.Bootstrap(injector.BootstrapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var sidecar struct {
		LayeredRuntime json.RawMessage `json:"layered_runtime"`
	}
	if err := yaml.Unmarshal(text, &sidecar); err != nil {
		t.Fatal(err)
	}
	runtime := new(bootstrapv3.LayeredRuntime)
	if err := protojson.Unmarshal(sidecar.LayeredRuntime, runtime); err != nil {
		t.Fatal(err)
	}
	return runtime
}

// add puts a resource where it belongs; id makes its name unique.
func (a acceptance) add(t testing.TB, id string, m proto.Message) {
	s := a.bootstrap.StaticResources
	switch m := proto.Clone(m).(type) {
	case *listenerv3.Listener:
		m.Name += "-" + id
		a.listen(m)
	case *clusterv3.Cluster:
		m.Name += "-" + id
		if m.GetType() == clusterv3.Cluster_STATIC && m.TransportSocket != nil {
			// In a bootstrap, not over CDS, Envoy 1.40 crashes on a STATIC cluster whose
			// secrets come over ADS: the stream is set up later. Half of it at a time, then.
			secured := proto.Clone(m).(*clusterv3.Cluster)
			secured.Name += "-tls"
			secured.LoadAssignment = nil
			secured.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
			secured.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: &corev3.ConfigSource{
				ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
				ResourceApiVersion:    corev3.ApiVersion_V3,
			}}
			s.Clusters = append(s.Clusters, secured)
			m.TransportSocket = nil
		}
		s.Clusters = append(s.Clusters, m)
	case *endpointv3.ClusterLoadAssignment:
		s.Clusters = append(s.Clusters, &clusterv3.Cluster{
			Name:                 "endpoints-" + id,
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			LoadAssignment:       m,
		})
	case *tlsv3.Secret:
		m.Name += "-" + id
		s.Secrets = append(s.Secrets, m)
	case *routev3.RouteConfiguration:
		m.Vhds = nil
		a.listen(routed(t, id, m))
	case *routev3.VirtualHost:
		r := envoy.NewOutboundRoutes()
		r.Vhds = nil
		r.VirtualHosts = []*routev3.VirtualHost{m}
		a.listen(routed(t, id, r))
	default:
		t.Fatalf("%T has no place in a bootstrap", m)
	}
}

// listen adds a listener, at a port of its own.
func (a acceptance) listen(l *listenerv3.Listener) {
	s := a.bootstrap.StaticResources
	port := &corev3.SocketAddress_PortValue{PortValue: uint32(20000 + len(s.Listeners))}
	l.Address.GetSocketAddress().PortSpecifier = port
	for _, more := range l.AdditionalAddresses {
		more.Address.GetSocketAddress().PortSpecifier = port
	}
	s.Listeners = append(s.Listeners, l)
}

// routed is the outbound listener with these routes in place.
func routed(t testing.TB, id string, r *routev3.RouteConfiguration) *listenerv3.Listener {
	l := envoy.NewOutbound(envoy.Outbound{})
	l.Name = "routes-" + id
	filter := l.FilterChains[0].Filters[0]
	m := &hcmv3.HttpConnectionManager{}
	if err := filter.GetTypedConfig().UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: r}
	config, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: config}
	return l
}

// validate has Envoy read the bootstrap.
func (a acceptance) validate(t testing.TB) error {
	t.Helper()
	binary, err := lab.EnvoyPath()
	if err != nil {
		t.Fatal(err)
	}
	text, err := protojson.Marshal(a.bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, "--mode", "validate", "-c", file, "-l", "error", "--concurrency", "1")
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(out.String()))
	}
	return nil
}

func explicitHTTP2() *anypb.Any {
	a, err := anypb.New(&httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
		},
	}})
	if err != nil {
		panic(err)
	}
	return a
}
