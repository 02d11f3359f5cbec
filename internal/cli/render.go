package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds"
	"github.com/fairlead/fairlead/xds/ads"
)

func renderCommand() *cobra.Command {
	var source sourceFlags
	var workload string
	var to, types []string
	var bootstrap bool
	out := newOutput("yaml", "json")
	cmd := &cobra.Command{
		Use:   "render [DIR] --workload NAMESPACE/NAME",
		Short: "Print what the sidecar of a workload would be told, offline",
		Long: "Reads manifests and prints the Envoy configuration that a sidecar of the workload (a pod, or a\n" +
			"Deployment and the like) would get if it called the Services of the folder, or those named by --to.\n" +
			"A running sidecar is told of a Service only when it calls it. Addresses that a cluster would give\n" +
			"are stood in for: 240.0.0.0/8 for Services, 241.0.0.0/8 for pods.",
		Example: "  fairlead render examples/shop --workload shop/web --to catalog.shop:80\n" +
			"  helm template . | fairlead render -f - --workload shop/web --type VHDS",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keep, err := typeFilter(types)
			if err != nil {
				return err
			}
			result, err := source.read(cmd.Context(), cmd.InOrStdin(), args)
			if err != nil {
				return err
			}
			complain(cmd.ErrOrStderr(), result)
			store := result.Store(offlineSettings())
			pod, err := findWorkload(store, workload)
			if err != nil {
				return err
			}
			if bootstrap {
				text, err := injector.Bootstrap(injector.BootstrapOptions{})
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			calls, err := findCalls(store, to)
			if err != nil {
				return err
			}
			list, err := render(store, pod, calls)
			if err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(r controller.Resource) bool { return !keep(r.Type) })
			return printResources(cmd.OutOrStdout(), list, out)
		},
	}
	source.add(cmd)
	cmd.Flags().StringVarP(&workload, "workload", "w", "", "NAMESPACE/NAME of the pod, Deployment, StatefulSet, ... whose sidecar is meant")
	cmd.Flags().StringSliceVar(&to, "to", nil, "SERVICE.NAMESPACE[:PORT] that it calls; all of the folder unless set")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only these types: SDS, CDS, EDS, LDS, RDS, VHDS")
	cmd.Flags().BoolVar(&bootstrap, "bootstrap", false, "print the bootstrap in place of the resources")
	cmd.Flags().VarP(out, "output", "o", "format")
	return cmd
}

// findWorkload finds a pod by its own name or by that of its workload.
func findWorkload(store *mesh.Store, name string) (*mesh.Pod, error) {
	namespace, rest, ok := strings.Cut(name, "/")
	if !ok || rest == "" {
		return nil, usage("--workload %q is not of the form NAMESPACE/NAME", name)
	}
	wanted := mesh.Name{Namespace: namespace, Name: rest}
	var names []string
	for _, p := range store.Pods() {
		if p.Name == wanted || p.Workload.Name == wanted {
			if !p.Meshed {
				return nil, fmt.Errorf("%s has no sidecar: label its namespace fairlead.dev/inject=enabled, or its pods", name)
			}
			return p, nil
		}
		names = append(names, p.Name.String())
	}
	return nil, fmt.Errorf("there is no workload %s; there are: %s", name, strings.Join(names, ", "))
}

// findCalls lists the addresses that the workload is taken to call.
func findCalls(store *mesh.Store, to []string) ([]string, error) {
	var calls []string
	if len(to) == 0 {
		for _, s := range store.Services() {
			for _, p := range s.Ports {
				calls = append(calls, addresses(store, s, p)...)
			}
		}
		return calls, nil
	}
	for _, t := range to {
		host, port, _ := strings.Cut(t, ":")
		name, namespace, _ := strings.Cut(host, ".")
		namespace, _, _ = strings.Cut(namespace, ".") // svc.cluster.local may follow
		s := store.Service(mesh.Name{Namespace: namespace, Name: name})
		if s == nil {
			return nil, usage("--to %q: there is no Service %s/%s; use SERVICE.NAMESPACE[:PORT]", t, namespace, name)
		}
		before := len(calls)
		for _, p := range s.Ports {
			if port == "" || port == strconv.Itoa(int(p.Number)) {
				calls = append(calls, addresses(store, s, p)...)
			}
		}
		if len(calls) == before {
			return nil, usage("--to %q: Service %s has no port %s, or no address", t, s.Name, port)
		}
	}
	return calls, nil
}

// addresses are the names of the clusters that lead to a port of a Service: by
// its own addresses, or by those of its pods if it has none.
func addresses(store *mesh.Store, s *mesh.Service, p mesh.Port) []string {
	prefix := ""
	switch p.Protocol {
	case mesh.ProtocolUDP:
		return nil
	case mesh.ProtocolTCP, mesh.ProtocolTLS:
		prefix = "tcp/"
	}
	if store.Settings().ServerFirst(p.Number) {
		prefix = "tcp/"
	}
	var out []string
	for _, a := range s.Addresses {
		out = append(out, prefix+joinPort(a.String(), p.Number))
	}
	if !s.Headless {
		return out
	}
	endpoints := store.Endpoints(s.Name)
	if endpoints == nil {
		return nil
	}
	for i := range endpoints.List {
		e := &endpoints.List[i]
		if number := e.Port(p.Name); number != 0 {
			out = append(out, prefix+joinPort(e.Address.String(), number))
		}
	}
	return out
}

func joinPort(address string, port uint16) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return address + ":" + strconv.Itoa(int(port))
}

// render builds what a proxy of the pod would hold after those calls: what it
// always holds, the clusters, and all that these lead to.
func render(store *mesh.Store, pod *mesh.Pod, calls []string) ([]controller.Resource, error) {
	// The root is made up: nothing is connected here, and it is not printed.
	authority, err := certs.NewSelfSigned(certs.Options{})
	if err != nil {
		return nil, err
	}
	g := xds.New(xds.Config{Authority: authority})
	client := g.Client(pod)
	var queue []ads.Ref
	for _, t := range ads.Types() {
		for _, name := range g.Wildcard(client, t) {
			queue = append(queue, ads.Ref{Type: t, Name: name})
		}
	}
	queue = append(queue, ads.Ref{Type: ads.RouteConfiguration, Name: "outbound"}, ads.Ref{Type: ads.RouteConfiguration, Name: "inbound"})
	for _, c := range calls {
		queue = append(queue, ads.Ref{Type: ads.Cluster, Name: c})
	}
	seen := make(map[ads.Ref]bool)
	var list []controller.Resource
	for len(queue) > 0 {
		ref := queue[0]
		queue = queue[1:]
		key, ok := g.Resolve(client, ref.Type, ref.Name)
		if seen[ref] || !ok || g.Private(key) {
			continue
		}
		seen[ref] = true
		built, err := g.Build(key, store)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		queue = append(append(queue, built.Refs...), built.After...)
		if built.Message == nil {
			continue
		}
		r, err := printable(ref, built.Message)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
		if ref.Type == ads.Cluster {
			queue = append(queue, subscribed(built.Message)...)
		}
	}
	slices.SortStableFunc(list, func(a, b controller.Resource) int { return order(a.Type) - order(b.Type) })
	return list, nil
}

// order sorts types as they are sent.
func order(t string) int {
	n, _ := ads.ParseType(t)
	return int(n)
}

// printable is the resource without what is made up here.
func printable(ref ads.Ref, m proto.Message) (controller.Resource, error) {
	if s, ok := m.(*tlsv3.Secret); ok {
		s = proto.CloneOf(s)
		if v := s.GetValidationContext(); v != nil {
			v.TrustedCa = nil
		}
		m = s
	}
	text, err := (protojson.MarshalOptions{UseProtoNames: true}).Marshal(m)
	if err != nil {
		return controller.Resource{}, err
	}
	return controller.Resource{Type: ref.Type.String(), Name: ref.Name, Resource: json.RawMessage(text)}, nil
}

// subscribed names what Envoy asks for itself when it is given a cluster.
func subscribed(m proto.Message) []ads.Ref {
	c, ok := m.(*clusterv3.Cluster)
	if !ok {
		return nil
	}
	var refs []ads.Ref
	if c.GetType() == clusterv3.Cluster_EDS {
		refs = append(refs, ads.Ref{Type: ads.Endpoint, Name: cmp.Or(c.GetEdsClusterConfig().GetServiceName(), c.GetName())})
	}
	for _, match := range c.GetTransportSocketMatches() {
		var tls tlsv3.UpstreamTlsContext
		if match.GetTransportSocket().GetTypedConfig().UnmarshalTo(&tls) != nil {
			continue // plaintext
		}
		if name := tls.GetCommonTlsContext().GetValidationContextSdsSecretConfig().GetName(); name != "" {
			refs = append(refs, ads.Ref{Type: ads.Secret, Name: name})
		}
	}
	return refs
}
