package manifests

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead/fairlead/mesh"
)

// family is an address family.
type family uint8

const (
	ipv4 family = 4
	ipv6 family = 6
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// familiesOf lists the families of the ranges, primary first.
func familiesOf(ranges []netip.Prefix) []family {
	var out []family
	for _, r := range ranges {
		out = append(out, familyOf(r.Addr()))
	}
	return out
}

// familiesFor says of which families a cluster with these ranges would give the
// Service addresses (KEP-563), primary first.
func (s *service) familiesFor(ranges []netip.Prefix) []family {
	if !s.wants {
		return nil
	}
	cluster := familiesOf(ranges)
	out := asked(s.families)
	if len(out) == 0 {
		out = cluster[:1]
	}
	dual := s.policy == corev1.IPFamilyPolicyPreferDualStack || s.policy == corev1.IPFamilyPolicyRequireDualStack
	if dual && len(out) == 1 {
		for _, f := range cluster {
			if f != out[0] {
				return []family{out[0], f}
			}
		}
	}
	return out
}

func asked(families []corev1.IPFamily) []family {
	var out []family
	for _, f := range families {
		if f == corev1.IPv6Protocol {
			out = append(out, ipv6)
		} else {
			out = append(out, ipv4)
		}
	}
	return out
}

// hostCount is the number of addresses to give: all but the first and the last,
// and of a very large range the first 2^62.
func hostCount(r netip.Prefix) uint64 {
	bits := min(r.Addr().BitLen()-r.Bits(), 62)
	return max(uint64(1)<<bits, 2) - 2
}

// nth returns the nth address of a range.
func nth(r netip.Prefix, n uint64) netip.Addr {
	if r.Addr().Is4() {
		b := r.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := r.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+n)
	return netip.AddrFrom16(b)
}

// uid is the UID of an object whose manifest has none: a name-based UUID (RFC 9562,
// version 5), so that it is the same each time.
func uid(kind string, name mesh.Name) string {
	// The name space is that of URLs (RFC 9562, section 6.6).
	space := []byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(space, "https://fairlead.dev/"+kind+"/"+name.String()...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
