package xds_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

var webPod = &mesh.Pod{Name: mesh.Name{Namespace: "shop", Name: "web-1"}, UID: "1", ServiceAccount: "web",
	Workload: mesh.Workload{Kind: "Deployment", Name: mesh.Name{Namespace: "shop", Name: "web"}}}

func TestResolve(t *testing.T) {
	g := generator()
	c := g.Client(webPod)
	for _, x := range []struct {
		t             ads.Type
		name, variant string
		ok, sticky    bool
	}{
		{ads.VirtualHost, "outbound/10.96.0.10:80", "shop", true, false},
		{ads.VirtualHost, "outbound/*", "", true, false},
		{ads.VirtualHost, "outbound/shop.example", "shop", false, false},
		{ads.Cluster, "10.96.0.10:80", "", true, true},
		{ads.Cluster, "tcp/10.96.0.10:80", "shop", true, true},
		{ads.Cluster, "shop/catalog:80", "", true, false},
		{ads.Cluster, "xds", "", false, false},
		{ads.Endpoint, "shop/catalog:80/ipv6", "", true, false},
		{ads.Secret, "default", "", true, false},
		{ads.Secret, "peer/shop/a.b", "", true, false},
		{ads.Secret, "peers/shop/a.b", "", false, false},
		{ads.Listener, "outbound", "", true, false},
		{ads.Listener, "inbound", "Deployment/shop/web", true, false},
		{ads.RouteConfiguration, "inbound", "", true, false},
		{ads.Listener, "virtual", "", false, false},
	} {
		k, ok := g.Resolve(c, x.t, x.name)
		if ok != x.ok || ok && (k.Variant != x.variant || g.Sticky(k) != x.sticky || g.Private(k) != (x.name == "default")) {
			t.Errorf("%v %s: %v %v", x.t, x.name, k, ok)
		}
	}
	if *g.Client(webPod) != *c {
		t.Error("two clients of one pod differ")
	}
}

// A pod with a sidecar that is called by its address is refused where a proxy has
// too many: an empty cluster, not plaintext. A Service is never affected.
func TestOverflow(t *testing.T) {
	_, view := readGolden(t, "testdata/basic.txtar")
	g := generator()
	for name, different := range map[string]bool{"10.244.0.1:8080": true, "10.96.0.10:80": false} {
		k := ads.Key{Type: ads.Cluster, Name: name}
		if o := g.Overflow(k); o == k || proto.Equal(build(t, view, k).Message, build(t, view, o).Message) == different {
			t.Errorf("%s: %v", name, o)
		}
	}
}

func TestIssue(t *testing.T) {
	authority, err := certs.NewSelfSigned(certs.Options{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	g := xds.New(xds.Config{Authority: authority})
	c, k := g.Client(webPod), ads.Key{Type: ads.Secret, Name: "default"}
	b, renew, err := g.Issue(t.Context(), c, k, "")
	if err != nil {
		t.Fatal(err)
	}
	secret := b.Message.(*tlsv3.Secret)
	if secret.Name != "default" || secret.GetTlsCertificate() == nil || b.Version == "" || time.Until(renew.At) < 20*time.Minute {
		t.Errorf("%v %v", b.Version, renew)
	}
	if again, _, err := g.Issue(t.Context(), c, k, b.Version); err != nil || again.Message != nil || again.Version != b.Version {
		t.Errorf("a good leaf was not left alone: %v %v", again.Version, err)
	}
	if other, _, err := g.Issue(t.Context(), g.Client(&mesh.Pod{Name: webPod.Name, ServiceAccount: "other"}), k, b.Version); err != nil || other.Message == nil {
		t.Errorf("another identity was left with this one's leaf: %v", err)
	}
	if _, err := g.Build(k, newMesh(t, nil)); err == nil {
		t.Error("a leaf was built, and so would be kept")
	}
}

// What a proxy is told of one Service: cluster, endpoints, rules, who may answer.
func BenchmarkService(b *testing.B) {
	for _, c := range []struct{ name, file, address, backend string }{
		{"plain", "testdata/basic.txtar", "10.96.0.10:80", "shop/catalog:80"},
		{"rules", "testdata/rules.txtar", "10.96.0.10:80", "shop/v1:80"},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, view := readGolden(b, c.file)
			authority, err := certs.NewSelfSigned(certs.Options{})
			if err != nil {
				b.Fatal(err)
			}
			g := xds.New(xds.Config{Authority: authority})
			keys := []ads.Key{
				{Type: ads.Cluster, Name: c.address},
				{Type: ads.VirtualHost, Name: "outbound/" + c.address, Variant: "shop"},
				{Type: ads.Cluster, Name: c.backend},
				{Type: ads.Endpoint, Name: c.backend},
				{Type: ads.Secret, Name: "peers/shop/catalog"},
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, k := range keys {
					built, err := g.Build(k, view)
					if err != nil {
						b.Fatal(err)
					}
					if built.Message == nil {
						continue
					}
					if _, err := (proto.MarshalOptions{Deterministic: true}).Marshal(built.Message); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
