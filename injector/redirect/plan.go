package redirect

import (
	"net/netip"
	"strings"

	"github.com/google/nftables"
)

// tableName is the table, of family inet, that holds all rules.
const tableName = "fairlead"

// Plan is the rules for one pod. It is a value: making one touches nothing.
type Plan struct {
	chains []chain
}

// chain is a base chain of type nat, at the priority of destination NAT.
type chain struct {
	name  string
	hook  *nftables.ChainHook
	rules []rule
}

// rule is some conditions, all of which must hold, and what then happens.
type rule struct {
	matches []match
	then    verdict
}

// MakePlan returns the rules for o. The error names the option that is wrong.
func MakePlan(o Options) (Plan, error) {
	o, err := o.complete()
	if err != nil {
		return Plan{}, err
	}
	return Plan{chains: []chain{
		{name: "prerouting", hook: nftables.ChainHookPrerouting, rules: inbound(o)},
		{name: "output", hook: nftables.ChainHookOutput, rules: outbound(o)},
	}}, nil
}

// startOfTCP leaves everything alone that is not the first packet of a TCP
// connection. Without it the next packet of a connection that is older than the
// rules would look new to connection tracking, which starts with the first nat
// rule, and be redirected: that resets the sidecar's own stream to the control
// plane, for the rules come after the sidecar is ready.
func startOfTCP() []rule {
	return []rule{
		{[]match{notTCP{}}, leave},
		{[]match{notFirstPacket{}}, leave},
	}
}

func inbound(o Options) []rule {
	return append(startOfTCP(),
		rule{[]match{portIn(o.ExcludeInboundPorts)}, leave},
		rule{[]match{isTCP{}}, redirectTo(o.InboundPort)},
	)
}

// outbound: the order matters.
func outbound(o Options) []rule {
	const overLoopback = loopback(true)
	rules := startOfTCP()
	if len(o.ExcludeOutboundPorts) > 0 {
		rules = append(rules, rule{[]match{portIn(o.ExcludeOutboundPorts)}, leave})
	}
	// The sidecar calls the app from these addresses, so that the call does not come
	// back to it.
	rules = append(rules,
		rule{[]match{overLoopback, source(netip.AddrFrom4([4]byte{127, 0, 0, 6}))}, leave},
		rule{[]match{overLoopback, source(inboundSource6())}, leave},
	)
	local4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32)
	local6 := netip.PrefixFrom(netip.IPv6Loopback(), 128)
	for _, proxy := range []owner{{uid: true, id: o.ProxyUID}, {uid: false, id: o.ProxyGID}} {
		other := proxy
		other.not = true
		rules = append(rules,
			// The app called its own Service and the sidecar chose this very pod: the call
			// has to come in as if from another pod. 127.0.0.1 is the admin listener.
			rule{[]match{overLoopback, destination{prefix: local4, not: true}, isTCP{}, proxy}, redirectTo(o.InboundPort)},
			rule{[]match{overLoopback, destination{prefix: local6, not: true}, isTCP{}, proxy}, redirectTo(o.InboundPort)},
			// The app talks to itself.
			rule{[]match{overLoopback, other}, leave},
			// The sidecar talks to the world.
			rule{[]match{proxy}, leave},
		)
	}
	rules = append(rules,
		rule{[]match{destination{prefix: local4}}, leave},
		rule{[]match{destination{prefix: local6}}, leave},
	)
	for _, p := range o.ExcludeOutbound {
		rules = append(rules, rule{[]match{destination{prefix: p}}, leave})
	}
	if len(o.IncludeOutbound) == 0 {
		return append(rules, rule{[]match{isTCP{}}, redirectTo(o.OutboundPort)})
	}
	for _, p := range o.IncludeOutbound {
		rules = append(rules, rule{[]match{destination{prefix: p}, isTCP{}}, redirectTo(o.OutboundPort)})
	}
	return rules
}

// inboundSource6 is the IPv6 twin of 127.0.0.6. Other than that one it has to be
// put on the loopback interface before anyone can bind to it.
func inboundSource6() netip.Addr { return netip.MustParseAddr("::6") }

// String returns the plan as nft(8) lists and reads it.
func (p Plan) String() string {
	var b strings.Builder
	b.WriteString("table inet " + tableName + " {\n")
	for i, c := range p.chains {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("\tchain " + c.name + " {\n\t\ttype nat hook " + c.name + " priority -100; policy accept;\n")
		for _, r := range c.rules {
			b.WriteString("\t\t" + r.String() + "\n")
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func (r rule) String() string {
	words := make([]string, 0, len(r.matches)+1)
	for _, m := range r.matches {
		words = append(words, m.text())
	}
	return strings.Join(append(words, r.then.text()), " ")
}
