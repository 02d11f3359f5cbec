package serve

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/wire"
	"github.com/fairlead/fairlead/test/bench/world"
)

const (
	proxies = 8
	soon    = 20 * time.Second
)

// The fake proxies behave on go-control-plane's server as on any other: they get
// all that clusters refer to, see a change, and come back without being sent again
// what they hold.
func TestProxiesOnGoControlPlane(t *testing.T) {
	f := start(t, GCP, drive.Target{Clusters: []string{}})
	cold, err := f.fleet.Connect(t.Context(), drive.Connect{Count: proxies, Forget: true, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	// Ten clusters with their endpoints, and a listener.
	if want := int64(proxies * (2*world.Destinations + 1)); cold.Resources != want || cold.Equal != 0 {
		t.Errorf("new proxies were sent %d resources (%d of them equal), want %d (0)", cold.Resources, cold.Equal, want)
	}
	f.flip(t)
	f.flip(t)

	f.fleet.Disconnect()
	again, err := f.fleet.Connect(t.Context(), drive.Connect{Count: proxies, Marker: f.world.Marker(0), Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	if again.Resources != proxies || again.Equal != 0 || again.Retries != 0 {
		t.Errorf("proxies that hold everything were sent %d resources (%d of them equal) on %d further streams; want the %d markers only",
			again.Resources, again.Equal, again.Retries, proxies)
	}
	f.flip(t)
}

// The same on our own server, with the scout that brings the others their
// resources.
func TestProxiesOnFairlead(t *testing.T) {
	f := start(t, Fairlead, drive.Target{})
	scouted, err := f.fleet.Scout(t.Context(), drive.Scout{Index: proxies, FlipName: f.world.Endpoints(0), Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	f.flipTo(t, 1)
	f.flipTo(t, 1)
	file := filepath.Join(t.TempDir(), "capture.json")
	if err := f.fleet.Save(file); err != nil {
		t.Fatal(err)
	}
	found, err := drive.ReadCapture(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Flips) != 2 || int64(len(found.Resources)) != scouted.Resources || len(found.Clusters) == 0 {
		t.Errorf("the scout brought %d changes, %d resources and %d clusters that it had not asked for; want 2, %d and some",
			len(found.Flips), len(found.Resources), len(found.Clusters), scouted.Resources)
	}

	connect := func(c drive.Connect) drive.Connected {
		t.Helper()
		c.Count, c.Timeout = proxies, soon
		r, err := f.fleet.Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	cold := connect(drive.Connect{Forget: true})
	f.flip(t)
	f.fleet.Disconnect()
	known := connect(drive.Connect{Marker: f.world.Marker(0)})
	if known.Resources != proxies || known.Equal != 0 || known.Retries != 0 {
		t.Errorf("proxies that hold everything were sent %d resources (%d of them equal) on %d further streams; want the %d markers only",
			known.Resources, known.Equal, known.Retries, proxies)
	}
	f.fleet.Disconnect()
	// What the siblings asked for is pushed now; the same resources, by another way.
	if again := connect(drive.Connect{Forget: true}); again.Resources != cold.Resources || again.Equal != 0 {
		t.Errorf("proxies that hold nothing were sent %d resources (%d of them equal), want %d (0)", again.Resources, again.Equal, cold.Resources)
	}
	f.flip(t)
}

func TestProxiesOnBareBroadcast(t *testing.T) {
	f := start(t, Bare, drive.Target{Bare: true})
	if _, err := f.fleet.Connect(t.Context(), drive.Connect{Count: proxies, Forget: true, Timeout: soon}); err != nil {
		t.Fatal(err)
	}
	f.flip(t)
	f.flip(t)
}

type fixture struct {
	world  world.World
	server server
	fleet  *drive.Fleet
}

func (f fixture) flip(t *testing.T) {
	t.Helper()
	f.flipTo(t, proxies)
}

// flipTo changes an endpoint that count proxies hold.
func (f fixture) flipTo(t *testing.T, count int) {
	t.Helper()
	await := drive.Await{Name: f.world.Endpoints(0), Count: count, Timeout: soon}
	f.fleet.Arm(await)
	if err := f.server.flip(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fleet.Await(t.Context(), await); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, kind Kind, target drive.Target) fixture {
	t.Helper()
	dir := t.TempDir()
	w := world.World{Services: 50, Proxies: proxies}
	file := func(name string, v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var who []drive.Proxy
	for i := range proxies {
		who = append(who, drive.Proxy{Node: w.Pod(i).Name.String(), Destinations: w.Calls(i)})
	}
	authority, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, authority.Bundle().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	target.ProxiesFile = file("proxies.json", who)
	srv, err := newServer(Start{
		Kind: kind, World: w, ProxiesFile: target.ProxiesFile, CaptureFile: file("capture.json", capture(t, w)),
	}, authority)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.serve(l) }()
	target.Address, target.ServerName, target.CAFile = l.Addr().String(), ServerName, root
	fleet, err := drive.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		fleet.Disconnect()
		srv.stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return fixture{w, srv, fleet}
}

// capture is what a scout would bring: a cluster and endpoints per Service, and a
// listener.
func capture(t *testing.T, w world.World) drive.Capture {
	t.Helper()
	c := drive.Capture{FlipName: w.Endpoints(0)}
	add := func(typ wire.Type, name string, m proto.Message) {
		c.Resources = append(c.Resources, drive.Captured{Type: typ, Name: name, Version: "1", Body: marshal(t, pack(t, m))})
	}
	for i := range w.Services {
		add(wire.Cluster, w.Cluster(i), &clusterv3.Cluster{
			Name:             w.Cluster(i),
			EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: w.Endpoints(i)},
		})
		add(wire.Endpoint, w.Endpoints(i), assignment(w.Endpoints(i), 0))
	}
	add(wire.Listener, "outbound", &listenerv3.Listener{Name: "outbound"})
	for n := range 2 {
		c.Flips = append(c.Flips, marshal(t, &discoveryv3.DeltaDiscoveryResponse{
			TypeUrl: wire.Endpoint.URL(), Nonce: "1",
			Resources: []*discoveryv3.Resource{{
				Name: c.FlipName, Version: []string{"a", "b"}[n], Resource: pack(t, assignment(c.FlipName, 1+n)),
			}},
		}))
	}
	return c
}

func assignment(name string, endpoints int) *endpointv3.ClusterLoadAssignment {
	m := &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{}}}
	for i := range endpoints {
		m.Endpoints[0].LbEndpoints = append(m.Endpoints[0].LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
					Address: "10.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(8080 + i)},
				}}},
			}},
		})
	}
	return m
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	packed, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
