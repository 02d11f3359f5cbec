package xds

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds/ads"
	"github.com/fairlead/fairlead/xds/envoy"
)

// Authority makes leaves and knows the roots. *certs.Authority is one. Safe for
// concurrent use.
type Authority interface {
	// Issue makes a leaf for an identity that was proved.
	Issue(ctx context.Context, id mesh.Identity) (certs.Leaf, error)
	// StillGood says whether a leaf of that version needs no other yet.
	StillGood(version string, id mesh.Identity, now time.Time) (renewAt time.Time, ok bool)
	// Bundle is the present trust bundle.
	Bundle() certs.Bundle
}

// Config of a Generator.
type Config struct {
	// Authority is required.
	Authority Authority
	// TrustDomain of every identity; mesh.DefaultTrustDomain if "".
	TrustDomain string
	// Now defaults to time.Now.
	Now func() time.Time
}

// Generator is the ads.Source of a mesh. Safe for concurrent use.
type Generator struct {
	authority   Authority
	trustDomain string
	now         func() time.Time
}

var (
	_ ads.Source     = (*Generator)(nil)
	_ ads.Overflower = (*Generator)(nil)
)

// New makes a Generator.
func New(c Config) *Generator {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Generator{
		authority:   c.Authority,
		trustDomain: cmp.Or(c.TrustDomain, mesh.DefaultTrustDomain),
		now:         c.Now,
	}
}

// Client describes the proxy of a pod. Equal pods (for the proxy's purposes) give
// equal Clients: two may be compared by ==.
func (g *Generator) Client(pod *mesh.Pod) *ads.Client {
	return &ads.Client{
		Identity: mesh.Identity{TrustDomain: g.trustDomain, Account: pod.AccountName()},
		Pod:      pod.Name,
		PodUID:   pod.UID,
		Workload: pod.Workload,
	}
}

// BundleKeys are what a new trust bundle changes: pass them to
// ads.Server.Changed after Authority.Bundle returns it. All that holds the bundle
// reads the mesh's settings; what else reads them comes out as it was.
func (g *Generator) BundleKeys() []mesh.Key { return []mesh.Key{{Kind: mesh.KindSettings}} }

// overflow ends the variant of a cluster for a client that holds too many. No
// namespace has a slash in it.
const overflow = "/overflow"

// Resolve implements ads.Source. Virtual hosts, and what becomes of connections on
// which no HTTP was seen, differ between clients: by the namespace, which may have
// consumer routes. The inbound listener differs between workloads.
func (g *Generator) Resolve(c *ads.Client, t ads.Type, name string) (ads.Key, bool) {
	k := ads.Key{Type: t, Name: name}
	ok := false
	switch t {
	case ads.Secret:
		_, ok = envoy.ParseSecret(name)
	case ads.Cluster:
		var n envoy.ClusterName
		if n, ok = envoy.ParseCluster(name); n.TCP {
			k.Variant = c.Identity.Account.Namespace
		}
	case ads.Endpoint:
		_, ok = envoy.ParseAssignment(name)
	case ads.Listener:
		ok = name == envoy.OutboundName || name == envoy.InboundName
		if name == envoy.InboundName {
			k.Variant = workloadVariant(c.Workload)
		}
	case ads.RouteConfiguration:
		ok = name == envoy.OutboundName || name == envoy.InboundName
	case ads.VirtualHost:
		var a netip.AddrPort
		if a, ok = envoy.ParseVirtualHost(name); ok && a.IsValid() {
			k.Variant = c.Identity.Account.Namespace
		}
	}
	return k, ok
}

// Wildcard implements ads.Source.
func (g *Generator) Wildcard(_ *ads.Client, t ads.Type) []string {
	switch t {
	case ads.Listener:
		return []string{envoy.InboundName, envoy.OutboundName}
	case ads.Cluster:
		return []string{envoy.BlackholeName, envoy.InboundName, envoy.PassthroughName}
	default:
		return nil
	}
}

// Sticky implements ads.Source: clusters named by address are asked for on
// demand.
func (g *Generator) Sticky(k ads.Key) bool {
	if k.Type != ads.Cluster {
		return false
	}
	n, ok := envoy.ParseCluster(k.Name)
	return ok && n.Address.IsValid()
}

// Overflow implements ads.Overflower. Beyond the limit a pod that is called by its
// address is refused if it has a sidecar, and passed through if it has none.
func (g *Generator) Overflow(k ads.Key) ads.Key {
	k.Variant += overflow
	return k
}

// Private implements ads.Source.
func (g *Generator) Private(k ads.Key) bool {
	return k.Type == ads.Secret && k.Name == envoy.LeafSecret
}

// Issue implements ads.Source.
func (g *Generator) Issue(ctx context.Context, c *ads.Client, k ads.Key, have string) (ads.Built, ads.Renewal, error) {
	if !g.Private(k) {
		return ads.Built{}, ads.Renewal{}, fmt.Errorf("%s is not issued to a proxy", k)
	}
	if have != "" {
		if at, ok := g.authority.StillGood(have, c.Identity, g.now()); ok {
			return ads.Built{Version: have}, ads.Renewal{At: at}, nil
		}
	}
	leaf, err := g.authority.Issue(ctx, c.Identity)
	if err != nil {
		return ads.Built{}, ads.Renewal{}, err
	}
	return ads.Built{
		Message: envoy.Leaf(leaf.CertificateChainPEM, leaf.PrivateKeyPEM.Reveal()),
		Version: leaf.Version(),
	}, ads.Renewal{At: leaf.RenewAt}, nil
}

// Build implements ads.Source.
func (g *Generator) Build(k ads.Key, v mesh.View) (ads.Built, error) {
	switch k.Type {
	case ads.Secret:
		return g.secret(k.Name, v)
	case ads.Cluster:
		return cluster(k, v)
	case ads.Endpoint:
		return endpoints(k.Name, v)
	case ads.Listener:
		return listener(k, v)
	case ads.RouteConfiguration:
		return routes(k.Name)
	case ads.VirtualHost:
		return virtualHost(k, v)
	default:
		return ads.Built{}, fmt.Errorf("%s: no such type", k)
	}
}

// unknown is the answer to a name that Resolve lets nobody ask for.
func unknown(t ads.Type, name string) (ads.Built, error) {
	return ads.Built{}, fmt.Errorf("%s: not a name of this mesh", ads.Key{Type: t, Name: name})
}

// workloadVariant is the workload in the form of a variant, "" for none; variantWorkload
// reads it.
func workloadVariant(w mesh.Workload) string {
	if w == (mesh.Workload{}) {
		return ""
	}
	return w.Kind + "/" + w.Name.String()
}

func variantWorkload(variant string) mesh.Workload {
	kind, name, _ := strings.Cut(variant, "/")
	namespace, name, _ := strings.Cut(name, "/")
	return mesh.Workload{Kind: kind, Name: mesh.Name{Namespace: namespace, Name: name}}
}

func listener(k ads.Key, v mesh.View) (ads.Built, error) {
	s := settings(v)
	switch k.Name {
	case envoy.OutboundName:
		o := envoy.Outbound{
			Ranges:           s.Ranges,
			External:         v.External(),
			RefuseOutside:    s.RefuseOutside,
			ServerFirstPorts: s.AllServerFirstPorts(),
		}
		if api := v.Service(apiServer); api != nil {
			o.Untouched = slices.Concat(api.Addresses, api.ExternalAddresses)
		}
		return ads.Built{Message: envoy.NewOutbound(o)}, nil
	case envoy.InboundName:
		return ads.Built{Message: envoy.NewInboundListener(envoy.Inbound{
			IPv6:      envoy.HasIPv6(s.Ranges),
			HTTPPorts: v.HTTPPorts(variantWorkload(k.Variant)),
		})}, nil
	default:
		return unknown(ads.Listener, k.Name)
	}
}

func routes(name string) (ads.Built, error) {
	switch name {
	case envoy.OutboundName:
		// Envoy waits for a first virtual host and asks for none.
		return ads.Built{
			Message: envoy.NewOutboundRoutes(),
			Refs:    []ads.Ref{{Type: ads.VirtualHost, Name: envoy.AnyAddress}},
		}, nil
	case envoy.InboundName:
		return ads.Built{Message: envoy.NewInboundRoutes()}, nil
	default:
		return unknown(ads.RouteConfiguration, name)
	}
}

func settings(v mesh.View) *mesh.Settings {
	if s := v.Settings(); s != nil {
		return s
	}
	return &mesh.Settings{}
}
