package envoy_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
	"github.com/fairlead/fairlead/xds/envoy"
)

var address = netip.MustParseAddrPort("10.96.0.10:80")

func target(name string) policy.Target {
	return policy.Target{Service: mesh.Name{Namespace: "shop", Name: name}, Port: 80}
}

func virtualHost(rules ...policy.Rule) *routev3.VirtualHost {
	return envoy.NewVirtualHost(envoy.VirtualHost{
		Address:  address,
		Outbound: policy.Outbound{Service: mesh.Name{Namespace: "shop", Name: "catalog"}, Port: 80, Rules: rules},
		Retry:    &policy.DefaultRetry,
	})
}

// The table at HTTPPathModifier.ReplacePrefixMatch in the Gateway API, and the
// prefix "/".
func TestReplacePrefixMatch(t *testing.T) {
	for _, c := range []struct{ request, prefix, with, want string }{
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
		{"/foo", "/foo", "/xyz", "/xyz"},
		{"/foo/", "/foo", "/xyz", "/xyz/"},
		{"/foo/bar", "/foo", "", "/bar"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/foo/", "/foo", "/", "/"},
		{"/foo", "/foo", "/", "/"},
		{"/foo/bar", "/", "/xyz", "/xyz/foo/bar"},
		{"/", "/", "/xyz/", "/xyz/"},
		{"/foo", "/", "/", "/foo"},
		{"/a.b/c", "/a.b", "/", "/c"},
	} {
		h := virtualHost(policy.Rule{
			Match:    policy.Match{Path: &policy.StringMatch{Kind: policy.PathPrefix, Value: c.prefix}},
			Filters:  policy.Filters{Rewrite: &policy.Rewrite{PrefixMatch: &c.with}},
			Backends: []policy.Backend{{Target: target("v1"), Weight: 1}},
		})
		if got := rewritten(h.Routes[0], c.request); got != c.want {
			t.Errorf("%s, %s -> %s: %s, want %s", c.request, c.prefix, c.with, got, c.want)
		}
	}
}

// rewritten does what Envoy does.
func rewritten(r *routev3.Route, path string) string {
	a := r.GetRoute()
	if a.PrefixRewrite != "" {
		return a.PrefixRewrite + strings.TrimPrefix(path, r.Match.GetPathSeparatedPrefix())
	}
	if x := a.RegexRewrite; x != nil {
		return regexp.MustCompile(x.Pattern.Regex).ReplaceAllString(path, x.Substitution)
	}
	return path
}

// Shares of a rule are cumulative and add up.
func TestShares(t *testing.T) {
	mirrored := policy.Filters{Mirrors: []policy.Mirror{{Backend: target("m"), Numerator: 1, Denominator: 2}}}
	h := virtualHost(policy.Rule{
		Backends: []policy.Backend{
			{Target: target("v1"), Weight: 1, Filters: mirrored},
			{Target: target("v2"), Weight: 0},
			{Target: target("v3"), Weight: 2},
		},
		InvalidWeight: 1,
	})
	var got []uint32
	for _, r := range h.Routes[:3] {
		got = append(got, r.Match.GetRuntimeFraction().GetDefaultValue().GetNumerator())
	}
	if len(h.Routes) != 5 || got[0] != 250_000 || got[1] != 500_000 || got[2] != 0 ||
		h.Routes[0].GetDirectResponse().GetStatus() != 500 || h.Routes[1].GetRoute().GetCluster() != "shop/v1:80" ||
		h.Routes[2].GetRoute().GetCluster() != "shop/v3:80" {
		t.Errorf("%v\n%v", got, h.Routes)
	}
	if got := envoy.Targets(policy.Outbound{Rules: []policy.Rule{{Backends: []policy.Backend{{Target: target("b")}, {Target: target("a"), Filters: mirrored}}}}}); len(got) != 3 || got[0] != target("a") || got[2] != target("m") {
		t.Errorf("%v", got)
	}
}

// FuzzVirtualHost: whatever a rule says, Envoy's own checks accept what is made
// of it. What cannot be written fails its requests.
func FuzzVirtualHost(f *testing.F) {
	f.Add("/a", "x-a", "v%", "/b", "host", uint8(1), uint32(1), uint32(3), int64(1e9))
	f.Add("/a?b#c", ":x\n", "\x00", "", "h h", uint8(2), uint32(0), uint32(0), int64(-1))
	f.Add("", "", "", "/\\1", "", uint8(7), uint32(1<<31), uint32(1<<31), int64(0))
	f.Fuzz(func(t *testing.T, path, name, value, with, host string, kind uint8, weight, invalid uint32, d int64) {
		for _, s := range []*string{&path, &name, &value, &with, &host} {
			*s = strings.ToValidUTF8(*s, "?") // objects are JSON
		}
		timeout := time.Duration(d)
		change := &policy.HeaderChange{Set: []policy.HeaderValue{{Name: name, Value: value}}, Add: []policy.HeaderValue{{Name: name, Value: value}}, Remove: []string{name}}
		filters := policy.Filters{
			Request: change, Response: change,
			Rewrite: &policy.Rewrite{Host: host, PrefixMatch: &with},
			Mirrors: []policy.Mirror{{Backend: target("m"), Numerator: weight, Denominator: max(1, invalid)}},
			CORS:    &policy.CORS{AllowOrigins: []string{value}, AllowMethods: []string{name}, MaxAge: timeout},
		}
		match := policy.Match{
			Path: &policy.StringMatch{Kind: policy.StringMatchKind(kind % 4), Value: path}, Method: value, GRPC: kind%2 == 0,
			Headers: []policy.NamedMatch{{Name: name, StringMatch: policy.StringMatch{Kind: policy.StringMatchKind(kind % 3), Value: value}}},
			Query:   []policy.NamedMatch{{Name: name, StringMatch: policy.StringMatch{Kind: policy.Exact, Value: value}}},
		}
		rules := []policy.Rule{
			{Match: match, Invalid: value},
			{Match: match, Redirect: &policy.Redirect{Scheme: name, Host: host, FullPath: &with, Port: uint16(kind), Code: int(kind)}, Filters: filters},
			{Match: match, Redirect: &policy.Redirect{PrefixMatch: &with}},
			{Match: match, Filters: filters, Backends: []policy.Backend{{Target: target("v1"), Weight: weight}}, InvalidWeight: invalid,
				Timeouts: policy.Timeouts{Request: &timeout, BackendRequest: &timeout}, Retry: &policy.Retry{Attempts: weight, Codes: []uint32{invalid}, Backoff: timeout, Unreached: kind%2 == 0}},
			{Match: match, Backends: []policy.Backend{{Target: target("v1"), Weight: weight % 1000, Filters: filters}, {Target: target("v2"), Weight: 1}}},
		}
		h := virtualHost(rules...)
		if err := h.ValidateAll(); err != nil {
			t.Error(err)
		}
		if _, err := envoy.YAML(h); err != nil {
			t.Error(err)
		}
	})
}
