package lab

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// hostsFile is the /etc/hosts of every process of the lab, and the names that
// Netns.DialContext knows.
type hostsFile struct {
	hosts, resolv string

	mu    sync.Mutex
	names map[string][]netip.Addr
}

func newHostsFile(dir string) (*hostsFile, error) {
	h := &hostsFile{
		hosts: filepath.Join(dir, "hosts"), resolv: filepath.Join(dir, "resolv.conf"),
		names: map[string][]netip.Addr{},
	}
	// Port 53 of the pod itself, where nobody listens: an unknown name fails at once.
	if err := os.WriteFile(h.resolv, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		return nil, err
	}
	return h, h.write()
}

// SetHost makes names resolve to addresses, in the lab's processes and for
// DialContext. There is no DNS in a lab: this stands in for it. No address forgets
// the name.
func (l *Lab) SetHost(name string, addresses ...netip.Addr) error {
	h := l.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	if name == "" || strings.ContainsAny(name, " \t\n#") {
		return fmt.Errorf("lab: %q is no name of a host", name)
	}
	if len(addresses) == 0 {
		delete(h.names, name)
	} else {
		h.names[name] = slices.Clone(addresses)
	}
	return h.write()
}

// write writes over the file, not beside it: processes see it by a bind mount,
// which would keep showing the old one.
func (h *hostsFile) write() error {
	lines := []string{"127.0.0.1 localhost", "::1 localhost"}
	for name, addresses := range h.names {
		for _, a := range addresses {
			lines = append(lines, a.String()+" "+name)
		}
	}
	slices.Sort(lines[2:])
	return os.WriteFile(h.hosts, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// binds are the files that lie over those of the machine, as far as it has them.
func (h *hostsFile) binds() map[string]string {
	binds := map[string]string{h.hosts: "/etc/hosts", h.resolv: "/etc/resolv.conf"}
	maps.DeleteFunc(binds, func(_, over string) bool {
		_, err := os.Stat(over)
		return err != nil
	})
	return binds
}

// resolve turns host:port into address:port; of several addresses the first that
// suits the network.
func (h *hostsFile) resolve(network, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return address, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	for _, a := range h.names[host] {
		if (a.Is4() && !strings.HasSuffix(network, "6")) || (a.Is6() && !strings.HasSuffix(network, "4")) {
			return net.JoinHostPort(a.String(), port), nil
		}
	}
	return "", &net.DNSError{Err: "the lab knows no such host; use an address, or Lab.SetHost", Name: host, IsNotFound: true}
}
