package redirect

import (
	"fmt"
	"net/netip"
	"slices"
)

// ProxyID is the user and the group that the sidecar runs as unless set.
const ProxyID = 1337

// Options say what is redirected where. The zero value is right for every pod
// that asks for nothing special.
type Options struct {
	// ProxyUID and ProxyGID are whose connections are left alone; ProxyID unless set.
	ProxyUID uint32
	ProxyGID uint32
	// OutboundPort and InboundPort are the sidecar's listeners; 15001 and 15006 unless set.
	OutboundPort uint16
	InboundPort  uint16
	// ExcludeInboundPorts are ports of the pod that are reached without the sidecar,
	// besides those of the sidecar itself (sidecarPorts).
	ExcludeInboundPorts []uint16
	// ExcludeOutboundPorts are ports that the app reaches without the sidecar,
	// wherever they are.
	ExcludeOutboundPorts []uint16
	// ExcludeOutbound are destinations that the app reaches without the sidecar.
	ExcludeOutbound []netip.Prefix
	// IncludeOutbound, if not empty, are the only destinations that the app reaches
	// through the sidecar. What ExcludeOutbound names is left out all the same.
	IncludeOutbound []netip.Prefix
}

// sidecarPorts are reached from outside of the pod and not redirected: probes,
// health, metrics.
func sidecarPorts() []uint16 { return []uint16{15020, 15021, 15090} }

// complete returns o with every default filled in and every list sorted, without
// doubles; prefixes without the bits of a host.
func (o Options) complete() (Options, error) {
	defaults(&o.ProxyUID, ProxyID)
	defaults(&o.ProxyGID, ProxyID)
	defaults(&o.OutboundPort, 15001)
	defaults(&o.InboundPort, 15006)
	if o.OutboundPort == o.InboundPort {
		return o, fmt.Errorf("redirect: the outbound and the inbound port are both %d; give the sidecar two ports", o.OutboundPort)
	}
	o.ExcludeInboundPorts = sortedSet(append(sidecarPorts(), o.ExcludeInboundPorts...))
	o.ExcludeOutboundPorts = sortedSet(slices.Clone(o.ExcludeOutboundPorts))
	for _, l := range []struct {
		name  string
		ports []uint16
	}{{"ExcludeInboundPorts", o.ExcludeInboundPorts}, {"ExcludeOutboundPorts", o.ExcludeOutboundPorts}} {
		if slices.Contains(l.ports, 0) {
			return o, fmt.Errorf("redirect: %s: 0 is no port; give 1 to 65535", l.name)
		}
	}
	var err error
	if o.ExcludeOutbound, err = masked("ExcludeOutbound", o.ExcludeOutbound); err != nil {
		return o, err
	}
	o.IncludeOutbound, err = masked("IncludeOutbound", o.IncludeOutbound)
	return o, err
}

func defaults[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func sortedSet(ports []uint16) []uint16 {
	slices.Sort(ports)
	return slices.Compact(ports)
}

func masked(field string, in []netip.Prefix) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(in))
	for i, p := range in {
		if !p.IsValid() {
			return nil, fmt.Errorf("redirect: %s[%d] is no prefix; give one like 10.0.0.0/8 or fd00::/8", field, i)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("redirect: %s[%d]: %s is an IPv4 range written as IPv6 one, and wider than all of IPv4; write it as IPv4", field, i, p)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out), nil
}
