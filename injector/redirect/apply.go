package redirect

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// batch collects one transaction.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  uint32 // so many so far
}

// anonymousSet numbers the set itself: a number is one of its transaction, but the
// library would take it from a counter of the process, which it does not guard.
func (b *batch) anonymousSet(key nftables.SetDatatype, elements []nftables.SetElement) (*nftables.Set, error) {
	b.sets++
	set := &nftables.Set{Table: b.table, ID: b.sets, Name: "__set%d", Anonymous: true, Constant: true, KeyType: key}
	return set, b.conn.AddSet(set, elements)
}

// Apply puts the rules into the network namespace of the calling thread, in place
// of what an earlier Apply put there. It needs NET_ADMIN.
func (p Plan) Apply() error {
	if err := addInboundSource6(); err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return explain("open the connection to nf_tables", err)
	}
	b := &batch{conn: conn, table: replaceTable(conn)}
	policy := nftables.ChainPolicyAccept
	for _, c := range p.chains {
		kernelChain := conn.AddChain(&nftables.Chain{
			Name: c.name, Table: b.table, Type: nftables.ChainTypeNAT,
			Hooknum: c.hook, Priority: nftables.ChainPriorityNATDest, Policy: &policy,
		})
		for _, r := range c.rules {
			exprs, err := r.exprs(b)
			if err != nil {
				return fmt.Errorf("redirect: rule %q: %w", r, err)
			}
			conn.AddRule(&nftables.Rule{Table: b.table, Chain: kernelChain, Exprs: exprs})
		}
	}
	if err := conn.Flush(); err != nil {
		return explain("write the table inet "+tableName, err)
	}
	return nil
}

func (r rule) exprs(b *batch) ([]expr.Any, error) {
	var all []expr.Any
	for _, m := range r.matches {
		exprs, err := m.exprs(b)
		if err != nil {
			return nil, err
		}
		all = append(all, exprs...)
	}
	return append(all, r.then.exprs()...), nil
}

// replaceTable empties the table within the transaction: to delete a table that
// may not be there, one adds it first.
func replaceTable(conn *nftables.Conn) *nftables.Table {
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	conn.AddTable(table)
	conn.DelTable(table)
	return conn.AddTable(table)
}

// Remove takes the rules away; it is no error if there are none. Connections that
// were redirected go on as they are.
func Remove() error {
	conn, err := nftables.New()
	if err != nil {
		return explain("open the connection to nf_tables", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	conn.AddTable(table)
	conn.DelTable(table)
	if err := conn.Flush(); err != nil {
		return explain("remove the table inet "+tableName, err)
	}
	return nil
}

// addInboundSource6 puts ::6 on the loopback interface, if there is IPv6 at all.
func addInboundSource6() error {
	const file = "/proc/sys/net/ipv6/conf/lo/disable_ipv6"
	disabled, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && strings.TrimSpace(string(disabled)) != "0") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("redirect: find out whether the pod has IPv6: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return explain("find the loopback interface", err)
	}
	addr := inboundSource6()
	err = netlink.AddrReplace(lo, &netlink.Addr{
		IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(128, 128)},
		// Duplicate address detection would keep the address from being used for a second.
		Flags: unix.IFA_F_NODAD,
	})
	if err != nil {
		return explain("add "+addr.String()+" to the loopback interface", err)
	}
	return nil
}

// explain adds the way out to what the kernel said.
func explain(step string, err error) error {
	wayOut := ""
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		wayOut = "; run as root (uid 0) with the capability NET_ADMIN, as the init container does unless a Pod Security level forbids it"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOENT):
		wayOut = "; the node's kernel lacks nf_tables with nat for the family inet (Linux 5.2 or later, modules nf_tables, nft_chain_nat and nft_redir)"
	}
	return fmt.Errorf("redirect: %s: %w%s", step, err, wayOut)
}
