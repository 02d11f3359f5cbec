package envoy_test

import (
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fairlead/fairlead/policy"
)

// Envoy applies the headers of a weighted cluster before those of its route. Where
// a backend has filters, the rule's stand with each backend instead, and what both
// change is as the backend wants it.
func TestFiltersOfABackendHaveTheLastWord(t *testing.T) {
	rule := policy.Filters{
		Request: &policy.HeaderChange{
			Set:    []policy.HeaderValue{{Name: "set-set", Value: "rule"}, {Name: "set-remove", Value: "rule"}, {Name: "only-rule", Value: "rule"}},
			Add:    []policy.HeaderValue{{Name: "add-add", Value: "rule"}, {Name: "add-set", Value: "rule"}},
			Remove: []string{"remove-set", "remove-add"},
		},
		Rewrite: &policy.Rewrite{Host: "rule.example"},
	}
	own := policy.Filters{Request: &policy.HeaderChange{
		Set:    []policy.HeaderValue{{Name: "set-set", Value: "backend"}, {Name: "add-set", Value: "backend"}, {Name: "remove-set", Value: "backend"}},
		Add:    []policy.HeaderValue{{Name: "add-add", Value: "backend"}, {Name: "remove-add", Value: "backend"}},
		Remove: []string{"set-remove"},
	}}
	h := virtualHost(policy.Rule{
		Match: policy.Match{Path: &policy.StringMatch{Kind: policy.PathPrefix, Value: "/"}}, Filters: rule,
		Backends: []policy.Backend{{Target: target("v1"), Weight: 1, Filters: own}, {Target: target("v2"), Weight: 1}},
	})
	route := h.Routes[0]
	if len(route.RequestHeadersToAdd)+len(route.RequestHeadersToRemove) > 0 || route.GetRoute().GetHostRewriteLiteral() != "" {
		t.Errorf("the route changes headers, after its clusters: %v", route)
	}
	clusters := route.GetRoute().GetWeightedClusters().GetClusters()
	for i, want := range []struct{ add, remove string }{
		{
			"only-rule=rule set-set=backend add-set=backend remove-set=backend add-add+=rule add-add+=backend remove-add+=backend",
			"remove-add set-remove",
		},
		{"set-set=rule set-remove=rule only-rule=rule add-add+=rule add-set+=rule", "remove-set remove-add"},
	} {
		c := clusters[i]
		if got := written(c.RequestHeadersToAdd); got != want.add {
			t.Errorf("%s adds %q, want %q", c.Name, got, want.add)
		}
		if got := strings.Join(c.RequestHeadersToRemove, " "); got != want.remove {
			t.Errorf("%s removes %q, want %q", c.Name, got, want.remove)
		}
		if c.GetHostRewriteLiteral() != "rule.example" {
			t.Errorf("%s rewrites the host to %q", c.Name, c.GetHostRewriteLiteral())
		}
	}
}

func written(list []*corev3.HeaderValueOption) string {
	var parts []string
	for _, h := range list {
		sign := "="
		if h.AppendAction == corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			sign = "+="
		}
		parts = append(parts, h.Header.Key+sign+h.Header.Value)
	}
	return strings.Join(parts, " ")
}

// A try that ends without an answer is retried if the caller would get one of the
// codes for it.
func TestTriesWithoutAnAnswer(t *testing.T) {
	limit := time.Second
	for _, test := range []struct {
		codes []uint32
		limit *time.Duration
		reset bool
	}{
		{[]uint32{500, 502}, nil, false},
		{[]uint32{503}, nil, true},
		{[]uint32{504}, nil, false},
		{[]uint32{503}, &limit, false},
		{[]uint32{504}, &limit, true},
		{[]uint32{503, 504}, &limit, true},
		{nil, &limit, false},
	} {
		h := virtualHost(policy.Rule{
			Match:    policy.Match{Path: &policy.StringMatch{Kind: policy.PathPrefix, Value: "/"}},
			Backends: []policy.Backend{{Target: target("v1"), Weight: 1}},
			Timeouts: policy.Timeouts{BackendRequest: test.limit},
			Retry:    &policy.Retry{Attempts: 1, Codes: test.codes, Unreached: true},
		})
		on := strings.Split(h.Routes[0].GetRoute().GetRetryPolicy().GetRetryOn(), ",")
		if got := on[len(on)-1] == "reset"; got != test.reset {
			t.Errorf("codes %v, limit %v: retries on %v", test.codes, test.limit, on)
		}
	}
}
