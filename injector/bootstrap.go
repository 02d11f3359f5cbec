package injector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Ports of the sidecar. All but AdminPort are reachable from outside of the pod.
const (
	AdminPort    = 15000 // loopback, read-only paths
	OutboundPort = 15001 // what the app's own connections are redirected to
	InboundPort  = 15006 // what connections to the app are redirected to
	XDSPort      = 15012 // of the control plane
	ProbePort    = 15020 // the app's probes, answered through the sidecar
	HealthPort   = 15021 // GET /ready
	MetricsPort  = 15090 // GET /stats/prometheus
)

// DefaultConfigDir is where the sidecar's projected volume is mounted.
const DefaultConfigDir = "/etc/fairlead"

// DefaultControlPlane is the address of the control plane's Service.
const DefaultControlPlane = "fairlead.fairlead-system.svc.cluster.local:15012"

// XDSCluster is the name of the static cluster of the control plane; adminCluster
// of Envoy's own admin listener. No address and no backend is named like these.
const (
	XDSCluster   = "xds"
	adminCluster = "admin"
)

// BootstrapOptions say what stands in a bootstrap. The zero value is that of a
// default installation, for a pod that the kubelet names.
type BootstrapOptions struct {
	// PodName, PodNamespace, PodUID and NodeName are the proxy's node. A field that
	// is not set becomes $(POD_NAME), $(POD_NAMESPACE), $(POD_UID), $(NODE_NAME), which
	// the kubelet expands from the container's environment; if any is not set, a
	// "$" in any other option is written as "$$" so that the kubelet leaves it alone.
	PodName      string
	PodNamespace string
	PodUID       string
	NodeName     string
	// ControlPlane is host:port of the xDS server; DefaultControlPlane unless set.
	// A host that is a name is looked up again and again, an IP address is used as is.
	ControlPlane string
	// ControlPlaneName is the DNS name (or IP address) that the control plane's
	// certificate must hold; the host of ControlPlane unless set.
	ControlPlaneName string
	// ConfigDir holds token.sds.yaml, root.sds.yaml and what these name;
	// DefaultConfigDir unless set.
	ConfigDir string
	// IPv6 makes the sidecar's own listeners listen on [::], for both families. It
	// must be off where the pod's kernel has no IPv6: Envoy would not start.
	IPv6 bool
}

// Bootstrap returns the text for Envoy's argument --config-yaml: block YAML with
// every string quoted, since a pod may be called 123 or null. The error names the
// option that is wrong.
func Bootstrap(o BootstrapOptions) ([]byte, error) {
	r, err := o.resolve()
	if err != nil {
		return nil, err
	}
	m, err := bootstrapMessage(r)
	if err != nil {
		return nil, err
	}
	return quotedYAML(m)
}

// resolved are the options with every default filled in and every "$" escaped.
type resolved struct {
	podName, podNamespace, podUID, nodeName string

	host     string // of the control plane
	port     uint32
	static   bool   // host is an IP address
	certName string // what the control plane's certificate must hold
	dir      string
	ipv6     bool
}

func (o BootstrapOptions) resolve() (resolved, error) {
	escape := func(s string) string { return s }
	if o.PodName == "" || o.PodNamespace == "" || o.PodUID == "" || o.NodeName == "" {
		escape = func(s string) string { return strings.ReplaceAll(s, "$", "$$") }
	}
	node := func(value, variable string) string {
		if value == "" {
			return "$(" + variable + ")"
		}
		return escape(value)
	}
	r := resolved{
		podName:      node(o.PodName, "POD_NAME"),
		podNamespace: node(o.PodNamespace, "POD_NAMESPACE"),
		podUID:       node(o.PodUID, "POD_UID"),
		nodeName:     node(o.NodeName, "NODE_NAME"),
		ipv6:         o.IPv6,
	}

	host, port, err := net.SplitHostPort(or(o.ControlPlane, DefaultControlPlane))
	if err != nil {
		return r, fmt.Errorf("bootstrap: ControlPlane %q: %w; give host:port", o.ControlPlane, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || host == "" {
		return r, fmt.Errorf("bootstrap: ControlPlane %q: give host:port with a port of 1 to 65535", o.ControlPlane)
	}
	_, notAddress := netip.ParseAddr(host)
	r.host, r.port, r.static = escape(host), uint32(number), notAddress == nil
	r.certName = escape(or(o.ControlPlaneName, host))

	dir := or(o.ConfigDir, DefaultConfigDir)
	if !path.IsAbs(dir) {
		return r, fmt.Errorf("bootstrap: ConfigDir %q: give an absolute path", dir)
	}
	r.dir = escape(path.Clean(dir))

	for _, s := range []string{o.PodName, o.PodNamespace, o.PodUID, o.NodeName, host, r.certName, dir} {
		if strings.ContainsRune(s, 0) {
			return r, errors.New("bootstrap: an option holds a NUL byte, which no argument of a process can carry")
		}
	}
	return r, nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
