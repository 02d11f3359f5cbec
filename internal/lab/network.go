package lab

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridgeName is the node's interface that all pods are plugged into.
const bridgeName = "pods"

// Pod ranges, those of a common kubeadm cluster.
func podRange4() netip.Prefix   { return netip.MustParsePrefix("10.244.0.0/16") }
func podRange6() netip.Prefix   { return netip.MustParsePrefix("fd00:10:244::/64") }
func nodeAddress4() netip.Addr  { return netip.MustParseAddr("10.244.0.1") }
func nodeAddress6() netip.Addr  { return netip.MustParseAddr("fd00:10:244::1") }
func firstAddress4() netip.Addr { return netip.MustParseAddr("10.244.1.1") }
func firstAddress6() netip.Addr { return netip.MustParseAddr("fd00:10:244::1:1") }

// PodRanges are the prefixes that pods get their addresses from.
func PodRanges() []netip.Prefix { return []netip.Prefix{podRange4(), podRange6()} }

// addressPool gives out pod addresses, each once: an address comes back only if
// a PodSpec names it.
type addressPool struct {
	next4, next6 netip.Addr
	taken        map[netip.Addr]bool
}

func (p *addressPool) take(next *netip.Addr, first netip.Addr, within netip.Prefix) (netip.Addr, error) {
	if !next.IsValid() {
		*next = first
	}
	for p.taken[*next] {
		*next = next.Next()
	}
	a := *next
	if !within.Contains(a) {
		return a, fmt.Errorf("all addresses of %s are taken", within)
	}
	*next = a.Next()
	return a, nil
}

// buildNode makes the node's namespace: a bridge that forwards, and no uplink.
func (l *Lab) buildNode() error {
	node, err := l.newNetns("node")
	if err != nil {
		return err
	}
	l.node = node
	// An address that nobody has is refused at once (no route) instead of timing out.
	settings := map[string]string{
		"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0", "ipv4/conf/default/send_redirects": "0",
	}
	if l.options.IPv6 {
		settings["ipv6/conf/all/forwarding"] = "1"
		maps.Copy(settings, usableAtOnce6())
	}
	if err := node.sysctl(settings); err != nil {
		return err
	}
	if l.link, err = node.netlink(); err != nil {
		return err
	}
	if err := setUp(l.link, "lo"); err != nil {
		return err
	}
	snooping := false // IPv6 neighbour discovery must not depend on a querier
	// Without an address of its own a bridge takes the lowest of its ports', so that a
	// new pod could change it: the older pods' packets to the node would then be
	// dropped until their neighbour tables noticed, half a minute later.
	bridge := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: bridgeName, HardwareAddr: hardwareAddr(nodeAddress4())},
		MulticastSnooping: &snooping,
	}
	if err := l.link.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make the bridge: %w", err)
	}
	l.bridge = bridge
	for i, a := range l.NodeAddresses() {
		if err := addAddress(l.link, bridge, netip.PrefixFrom(a, PodRanges()[i].Bits())); err != nil {
			return err
		}
	}
	return setUp(l.link, bridgeName)
}

// connect gives a namespace its one interface, plugged into the bridge, with the
// addresses and default routes; extra addresses go to its loopback interface and
// the node's routes lead to them.
func (l *Lab) connect(n *Netns, number int, addresses, extra []netip.Addr) error {
	settings := map[string]string{"ipv4/conf/all/accept_redirects": "0"}
	if l.options.IPv6 {
		settings["ipv6/conf/all/accept_redirects"] = "0"
		maps.Copy(settings, usableAtOnce6())
	}
	if err := n.sysctl(settings); err != nil {
		return err
	}
	h, err := n.netlink()
	if err != nil {
		return err
	}
	defer h.Close()
	if err := setUp(h, "lo"); err != nil {
		return err
	}
	outer := vethName(number)
	err = l.link.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: outer, MasterIndex: l.bridge.Attrs().Index},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(n.fd), PeerHardwareAddr: hardwareAddr(addresses[0]),
	})
	if err != nil {
		return fmt.Errorf("make the interface: %w", err)
	}
	if err := setUp(l.link, outer); err != nil {
		return err
	}
	eth0, err := h.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0: %w", err)
	}
	for _, a := range addresses {
		if err := addAddress(h, eth0, netip.PrefixFrom(a, rangeOf(a).Bits())); err != nil {
			return err
		}
	}
	if err := setUp(h, "eth0"); err != nil {
		return err
	}
	for _, gateway := range l.NodeAddresses() {
		if !slices.ContainsFunc(addresses, func(a netip.Addr) bool { return a.Is4() == gateway.Is4() }) {
			continue // the pod has no address of that family
		}
		if err := h.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway.AsSlice()}); err != nil {
			return fmt.Errorf("add the default route by %s: %w", gateway, err)
		}
	}
	if err := l.addExtra(h, addresses, extra); err != nil {
		return err
	}
	// The bridge is up since its first pod is.
	return errors.Join(
		waitUp(l.link, outer), waitUp(h, "eth0"), waitUp(l.link, bridgeName),
		waitLocal(h, slices.Concat(addresses, extra)), waitLocal(l.link, l.NodeAddresses()),
	)
}

// disconnect unplugs a namespace at once: the namespace itself lives on as long as
// any socket in it.
func (l *Lab) disconnect(number int) error {
	link, err := l.link.LinkByName(vethName(number))
	if err != nil {
		return fmt.Errorf("find interface %s: %w", vethName(number), err)
	}
	return l.link.LinkDel(link)
}

func vethName(number int) string { return fmt.Sprintf("veth%d", number) }

// hardwareAddr follows from the address: when another pod takes that, what its
// neighbours remember stays true.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	b := a.AsSlice()
	return append(net.HardwareAddr{0x02, 0x00}, b[len(b)-4:]...)
}

// addExtra puts addresses of the outside world, or of a load balancer, on a pod.
func (l *Lab) addExtra(h *netlink.Handle, addresses, extra []netip.Addr) error {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	for _, a := range extra {
		single := netip.PrefixFrom(a, a.BitLen())
		if err := addAddress(h, lo, single); err != nil {
			return err
		}
		for _, via := range addresses {
			if via.Is4() != a.Is4() {
				continue
			}
			err := l.link.RouteReplace(&netlink.Route{LinkIndex: l.bridge.Attrs().Index, Dst: ipNet(single), Gw: via.AsSlice()})
			if err != nil {
				return fmt.Errorf("add the route to %s: %w", a, err)
			}
		}
	}
	return nil
}

// usableAtOnce6 turns duplicate address detection off for the interfaces to come:
// until it is done, after a second, link-local addresses cannot be used, and without
// these no neighbour is found.
func usableAtOnce6() map[string]string {
	return map[string]string{
		"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0",
		"ipv6/conf/all/accept_ra": "0", "ipv6/conf/default/accept_ra": "0",
	}
}

// netlink returns a handle that acts in the namespace, from any thread.
func (n *Netns) netlink() (*netlink.Handle, error) {
	var h *netlink.Handle
	err := n.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// sysctl writes files under /proc/sys/net, which shows the namespace of the thread
// that opens it.
func (n *Netns) sysctl(values map[string]string) error {
	return n.Do(func() error {
		var errs []error
		for name, value := range values {
			errs = append(errs, os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0o644))
		}
		return errors.Join(errs...)
	})
}

func setUp(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set interface %s up: %w", name, err)
	}
	return nil
}

// waitUp waits until the kernel has noticed that the interface has a peer, a few
// milliseconds after it was set up: until then it drops packets, and a dropped SYN
// costs a second.
func waitUp(h *netlink.Handle, name string) error {
	return poll("interface "+name+" is not up", func() (bool, error) {
		link, err := h.LinkByName(name)
		if err != nil {
			return false, fmt.Errorf("find interface %s: %w", name, err)
		}
		return link.Attrs().OperState == netlink.OperUp, nil
	})
}

// waitLocal waits until the addresses are those of the namespace: the kernel adds
// the local route of an IPv6 address in its own time.
func waitLocal(h *netlink.Handle, addresses []netip.Addr) error {
	for _, a := range addresses {
		err := poll(a.String()+" is not local", func() (bool, error) {
			routes, err := h.RouteGet(a.AsSlice())
			return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poll asks until done says yes, 10 s at most.
func poll(otherwise string, done func() (bool, error)) error {
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-limit:
			return errors.New(otherwise + " after 10 s")
		case <-tick.C:
		}
	}
}

func addAddress(h *netlink.Handle, link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD // usable at once
	}
	if err := h.AddrAdd(link, a); err != nil {
		return fmt.Errorf("add address %s to %s: %w", p, link.Attrs().Name, err)
	}
	return nil
}

func rangeOf(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return podRange4()
	}
	return podRange6()
}

// ipNet keeps the bits of the host, as an interface's address needs them.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
