package envoy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
	"github.com/fairlead/fairlead/xds/envoy"
)

func TestParseCluster(t *testing.T) {
	for name, want := range map[string]envoy.ClusterName{
		"10.96.0.10:80":        {Address: netip.MustParseAddrPort("10.96.0.10:80")},
		"[fd00::1]:80":         {Address: netip.MustParseAddrPort("[fd00::1]:80")},
		"tcp/10.96.0.10:3306":  {Address: netip.MustParseAddrPort("10.96.0.10:3306"), TCP: true},
		"shop/catalog:80":      {Backend: policy.Target{Service: mesh.Name{Namespace: "shop", Name: "catalog"}, Port: 80}},
		"tcp/catalog:80":       {Backend: policy.Target{Service: mesh.Name{Namespace: "tcp", Name: "catalog"}, Port: 80}},
		"inbound":              {Fixed: "inbound"},
		"outbound-passthrough": {Fixed: "outbound-passthrough"},
		"blackhole":            {Fixed: "blackhole"},
	} {
		got, ok := envoy.ParseCluster(name)
		if !ok || got != want {
			t.Errorf("%s: %+v %v", name, got, ok)
		}
	}
	for _, name := range []string{
		"", "xds", "10.96.0.10", "10.96.0.10:0", "10.96.0.10:080", "010.96.0.10:80", "10.96.0.10:65536",
		"[fd00::0001]:80", "[::ffff:10.0.0.1]:80", "[fe80::1%eth0]:80", "fd00::1:80", "tcp/", "tcp/tcp/10.0.0.1:80",
		"shop/catalog", "shop/catalog:0", "shop/catalog:80 ", "Shop/catalog:80", "shop/-a:80", "shop/a-:80",
		"shop/a.b:80", "shop//a:80", "/a:80", "shop/" + strings.Repeat("a", 64) + ":80",
	} {
		if got, ok := envoy.ParseCluster(name); ok {
			t.Errorf("%q is taken for %+v", name, got)
		}
	}
}

// FuzzNames: whatever a proxy asks for is refused, or is the one name of what it
// was taken for.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"10.96.0.10:80", "tcp/[fd00::1]:80", "shop/catalog:80", "shop/catalog:80/ipv6", "outbound/*",
		"outbound/10.0.0.1:80", "peers/shop/catalog", "peer/shop/a.b", "default", "roots", "inbound",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := envoy.ParseCluster(s); ok && n.String() != s {
			t.Errorf("cluster %q: %q", s, n)
		}
		if n, ok := envoy.ParseAssignment(s); ok && n.String() != s {
			t.Errorf("assignment %q: %q", s, n)
		}
		if n, ok := envoy.ParseSecret(s); ok && n.String() != s {
			t.Errorf("secret %q: %q", s, n)
		}
		if a, ok := envoy.ParseVirtualHost(s); ok && a.IsValid() && envoy.VirtualHostName(a) != s {
			t.Errorf("virtual host %q: %v", s, a)
		}
	})
}
