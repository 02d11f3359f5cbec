package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/injector/redirect"
)

// flags are the command line as it was given.
type flags struct {
	proxyUID, proxyGID        uint32
	inboundPort, outboundPort uint16
	excludeIn, excludeOut     []string
	exclude, include          []string
	readyURL                  string
	waitTimeout               time.Duration
	noWait, print, remove     bool
}

func newCommand() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "fairlead-redirect",
		Short: "Send this pod's connections through its sidecar",
		Long: `Waits until the sidecar is ready, then puts the nftables table "inet fairlead" into
this network namespace, in one step, and exits. Running it again replaces the table.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	set := c.Flags()
	set.Uint32Var(&f.proxyUID, "proxy-uid", redirect.ProxyID, "user that the sidecar runs as")
	set.Uint32Var(&f.proxyGID, "proxy-gid", redirect.ProxyID, "group that the sidecar runs as")
	set.Uint16Var(&f.inboundPort, "inbound-port", 15006, "the sidecar's port for connections to the app")
	set.Uint16Var(&f.outboundPort, "outbound-port", 15001, "the sidecar's port for connections of the app")
	set.StringSliceVar(&f.excludeIn, "exclude-inbound-ports", nil, "ports of the app that are reached without the sidecar")
	set.StringSliceVar(&f.excludeOut, "exclude-outbound-ports", nil, "ports that the app reaches without the sidecar")
	set.StringSliceVar(&f.exclude, "exclude-outbound-cidrs", nil, "destinations that the app reaches without the sidecar")
	set.StringSliceVar(&f.include, "include-outbound-cidrs", nil, "if set, the only destinations that the app reaches through the sidecar")
	set.StringVar(&f.readyURL, "ready-url", "http://127.0.0.1:15021/ready", "what answers 200 once the sidecar is ready")
	set.DurationVar(&f.waitTimeout, "wait-timeout", 5*time.Minute, "how long to wait for the sidecar; 0 waits for ever")
	set.BoolVar(&f.noWait, "no-wait", false, "do not wait for the sidecar")
	set.BoolVar(&f.print, "print", false, "print the rules, as nft -f reads them, and change nothing")
	set.BoolVar(&f.remove, "remove", false, "take the rules away")
	c.MarkFlagsMutuallyExclusive("print", "remove")
	return c
}

func (f *flags) run(c *cobra.Command) error {
	if f.remove {
		return redirect.Remove()
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	plan, err := redirect.MakePlan(o)
	if err != nil {
		return err
	}
	if f.print {
		_, err := fmt.Fprint(c.OutOrStdout(), plan)
		return err
	}
	if !f.noWait {
		if err := waitReady(c.Context(), f.readyURL, f.waitTimeout); err != nil {
			return err
		}
	}
	return plan.Apply()
}

func (f *flags) options() (o redirect.Options, err error) {
	o = redirect.Options{
		ProxyUID: f.proxyUID, ProxyGID: f.proxyGID, InboundPort: f.inboundPort, OutboundPort: f.outboundPort,
	}
	if o.ExcludeInboundPorts, err = ports("exclude-inbound-ports", f.excludeIn); err != nil {
		return o, err
	}
	if o.ExcludeOutboundPorts, err = ports("exclude-outbound-ports", f.excludeOut); err != nil {
		return o, err
	}
	if o.ExcludeOutbound, err = prefixes("exclude-outbound-cidrs", f.exclude); err != nil {
		return o, err
	}
	o.IncludeOutbound, err = prefixes("include-outbound-cidrs", f.include)
	return o, err
}

func ports(flag string, words []string) ([]uint16, error) {
	var list []uint16
	for _, w := range words {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("--%s: %q is no port; give numbers of 1 to 65535, with commas between them", flag, w)
		}
		list = append(list, uint16(n))
	}
	return list, nil
}

// prefixes also takes single addresses.
func prefixes(flag string, words []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			a, addrErr := netip.ParseAddr(w)
			if addrErr != nil || a.Zone() != "" {
				return nil, fmt.Errorf("--%s: %q is no range; give some like 10.0.0.0/8,fd00::/8", flag, w)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p)
	}
	return list, nil
}
