package redirect

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// match is a condition, in two forms that a test holds to each other: the text
// that nft(8) knows it by, and the expressions that the kernel runs.
type match interface {
	text() string
	// exprs may add a set to the batch; it uses register 1 only.
	exprs(b *batch) ([]expr.Any, error)
}

func load(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: 1} }

func compare(op expr.CmpOp, data []byte) expr.Any {
	return &expr.Cmp{Op: op, Register: 1, Data: data}
}

func equality(not bool) expr.CmpOp {
	if not {
		return expr.CmpOpNeq
	}
	return expr.CmpOpEq
}

func bang(not bool) string {
	if not {
		return "!= "
	}
	return ""
}

type isTCP struct{}

func (isTCP) text() string { return "meta l4proto tcp" }
func (isTCP) exprs(*batch) ([]expr.Any, error) {
	return []expr.Any{load(expr.MetaKeyL4PROTO), compare(expr.CmpOpEq, []byte{unix.IPPROTO_TCP})}, nil
}

type notTCP struct{}

func (notTCP) text() string { return "meta l4proto != tcp" }
func (notTCP) exprs(*batch) ([]expr.Any, error) {
	return []expr.Any{load(expr.MetaKeyL4PROTO), compare(expr.CmpOpNeq, []byte{unix.IPPROTO_TCP})}, nil
}

// notFirstPacket matches every TCP packet but the first of a connection, which is
// the only one that has SYN and none of FIN, RST and ACK.
type notFirstPacket struct{}

func (notFirstPacket) text() string { return "tcp flags & (fin | syn | rst | ack) != syn" }
func (notFirstPacket) exprs(*batch) ([]expr.Any, error) {
	const fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10
	return []expr.Any{
		load(expr.MetaKeyL4PROTO), compare(expr.CmpOpEq, []byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{fin | syn | rst | ack}, Xor: []byte{0}},
		compare(expr.CmpOpNeq, []byte{syn}),
	}, nil
}

// portIn matches TCP to one of some ports: sorted, at least one.
type portIn []uint16

func (p portIn) text() string {
	return "tcp dport { " + strings.Trim(strings.ReplaceAll(fmt.Sprint([]uint16(p)), " ", ", "), "[]") + " }"
}

func (p portIn) exprs(b *batch) ([]expr.Any, error) {
	elements := make([]nftables.SetElement, len(p))
	for i, port := range p {
		elements[i].Key = binaryutil.BigEndian.PutUint16(port)
	}
	set, err := b.anonymousSet(nftables.TypeInetService, elements)
	if err != nil {
		return nil, err
	}
	return []expr.Any{
		load(expr.MetaKeyL4PROTO), compare(expr.CmpOpEq, []byte{unix.IPPROTO_TCP}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
	}, nil
}

// loopback matches packets that leave by the loopback interface.
type loopback bool

func (loopback) text() string { return `oifname "lo"` }
func (loopback) exprs(*batch) ([]expr.Any, error) {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, "lo")
	return []expr.Any{load(expr.MetaKeyOIFNAME), compare(expr.CmpOpEq, name)}, nil
}

// owner matches what a process of a user or a group sends.
type owner struct {
	uid bool // else a group
	id  uint32
	not bool
}

func (o owner) text() string {
	key := "skgid"
	if o.uid {
		key = "skuid"
	}
	return fmt.Sprintf("meta %s %s%d", key, bang(o.not), o.id)
}

func (o owner) exprs(*batch) ([]expr.Any, error) {
	key := expr.MetaKeySKGID
	if o.uid {
		key = expr.MetaKeySKUID
	}
	return []expr.Any{load(key), compare(equality(o.not), binaryutil.NativeEndian.PutUint32(o.id))}, nil
}

// source matches packets from one address.
type source netip.Addr

func (s source) text() string { return family(netip.Addr(s)) + " saddr " + netip.Addr(s).String() }
func (s source) exprs(*batch) ([]expr.Any, error) {
	addr := netip.Addr(s)
	return addressExprs(netip.PrefixFrom(addr, addr.BitLen()), 12, 8, false), nil
}

// destination matches packets to a prefix, or of its family but not to it.
type destination struct {
	prefix netip.Prefix
	not    bool
}

func (d destination) text() string {
	to := d.prefix.String()
	if d.prefix.IsSingleIP() {
		to = d.prefix.Addr().String()
	}
	if d.prefix.Bits() == 0 {
		return "meta nfproto " + map[bool]string{true: "ipv4", false: "ipv6"}[d.prefix.Addr().Is4()]
	}
	return family(d.prefix.Addr()) + " daddr " + bang(d.not) + to
}

func (d destination) exprs(*batch) ([]expr.Any, error) {
	return addressExprs(d.prefix, 16, 24, d.not), nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip6"
}

// addressExprs compares the address at offset4 of an IPv4 header, or offset6 of an
// IPv6 one, after a check that the packet is of that family.
func addressExprs(p netip.Prefix, offset4, offset6 uint32, not bool) []expr.Any {
	proto, offset := byte(unix.NFPROTO_IPV6), offset6
	if p.Addr().Is4() {
		proto, offset = unix.NFPROTO_IPV4, offset4
	}
	exprs := []expr.Any{load(expr.MetaKeyNFPROTO), compare(expr.CmpOpEq, []byte{proto})}
	if p.Bits() == 0 {
		return exprs
	}
	size := p.Addr().BitLen() / 8
	exprs = append(exprs, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(size)})
	if !p.IsSingleIP() {
		mask := make([]byte, size)
		for bit := range p.Bits() {
			mask[bit/8] |= 0x80 >> (bit % 8)
		}
		exprs = append(exprs, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: mask, Xor: make([]byte, size)})
	}
	return append(exprs, compare(equality(not), p.Masked().Addr().AsSlice()))
}

// verdict is what happens to a packet that matches.
type verdict uint16

// leave ends the chain; redirectTo(port) sends the connection to a port of this pod.
const leave verdict = 0

func redirectTo(port uint16) verdict { return verdict(port) }

func (v verdict) text() string {
	if v == leave {
		return "return"
	}
	return fmt.Sprintf("redirect to :%d", v)
}

func (v verdict) exprs() []expr.Any {
	if v == leave {
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(v))},
		&expr.Redir{RegisterProtoMin: 1},
	}
}
