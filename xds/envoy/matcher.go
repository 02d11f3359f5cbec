package envoy

import (
	"net/netip"
	"slices"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// outboundMatcher picks the outbound filter chain: by destination, then by what
// http_inspector saw. The longest prefix decides. Envoy marks the IPMatcher as
// work in progress and logs so for each range (component misc, warning); in
// exchange a listener that differs in it only is updated in place.
func outboundMatcher(o Outbound) *xdsmatcherv3.Matcher {
	outside := chainPassthrough
	if o.RefuseOutside {
		outside = chainRefuse
	}
	var trie []*xdsmatcherv3.IPMatcher_IPRangeMatcher
	add := func(ranges []*xdscorev3.CidrRange, to *xdsmatcherv3.Matcher_OnMatch) {
		if len(ranges) > 0 {
			trie = append(trie, &xdsmatcherv3.IPMatcher_IPRangeMatcher{Ranges: ranges, OnMatch: to})
		}
	}
	add(single(o.Untouched), toChain(chainPassthrough))
	external := slices.DeleteFunc(slices.Clone(o.External), func(a netip.Addr) bool {
		return slices.Contains(o.Untouched, a)
	})
	add(append(cidrs(o.Ranges), single(external)...), meshChains())
	// Nothing is redirected here from the loopback interface, so this is somebody who
	// called the sidecar's own port. Passed through, he would come back for ever.
	add(cidrs(loopback()), toChain(chainRefuse))
	return &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input: input("destination", &networkv3.DestinationIPInput{}),
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_CustomMatch{
				CustomMatch: matchExtension("addresses", &xdsmatcherv3.IPMatcher{RangeMatchers: trie}),
			},
		}},
		OnNoMatch: toChain(outside),
	}
}

func loopback() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		netip.PrefixFrom(netip.IPv6Loopback(), 128),
	}
}

// meshChains goes by the first bytes.
func meshChains() *xdsmatcherv3.Matcher_OnMatch {
	protocols := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	for _, p := range httpProtocols() {
		protocols[quoted(p)] = toChain(chainHTTP)
	}
	return byValue("protocol", &networkv3.ApplicationProtocolInput{}, protocols, toChain(chainTCP))
}

// quoted is a list of one protocol, as ApplicationProtocolInput prints it.
func quoted(protocol string) string { return "'" + protocol + "'" }

// byValue goes by the value of an input.
func byValue(name string, by proto.Message, values map[string]*xdsmatcherv3.Matcher_OnMatch, otherwise *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Matcher{Matcher: &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input: input(name, by),
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap{
				ExactMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{Map: values},
			},
		}},
		OnNoMatch: otherwise,
	}}}
}

// httpProtocols are what http_inspector finds.
func httpProtocols() []string { return []string{"http/1.0", "http/1.1", "h2c"} }

func toChain(name string) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
		Action: matchExtension(name, wrapperspb.String(name)),
	}}
}

func input(name string, m proto.Message) *xdscorev3.TypedExtensionConfig {
	return matchExtension(name, m)
}

func matchExtension(name string, m proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: pack(m)}
}

// cidrs writes prefixes in an order of their own, each once.
func cidrs(prefixes []netip.Prefix) []*xdscorev3.CidrRange {
	list := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		list = append(list, p.Masked())
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	var out []*xdscorev3.CidrRange
	for _, p := range slices.Compact(list) {
		out = append(out, &xdscorev3.CidrRange{
			AddressPrefix: p.Addr().String(),
			PrefixLen:     wrapperspb.UInt32(uint32(p.Bits())),
		})
	}
	return out
}

func single(addresses []netip.Addr) []*xdscorev3.CidrRange {
	var prefixes []netip.Prefix
	for _, a := range addresses {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return cidrs(prefixes)
}
