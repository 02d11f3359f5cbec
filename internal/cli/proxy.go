package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/xds/ads"
)

func proxyCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{Use: "proxy", Short: "Show the sidecars that are connected to a running control plane"}
	cmd.PersistentFlags().StringVar(&address, "controller", controllerDefault(),
		"debug listener of the controller: HOST:PORT or unix:PATH (environment: FAIRLEAD_CONTROLLER)")
	cmd.AddCommand(proxyStatusCommand(&address), proxyConfigCommand(&address))
	return cmd
}

func controllerDefault() string {
	if a := os.Getenv("FAIRLEAD_CONTROLLER"); a != "" {
		return a
	}
	return "127.0.0.1:15014"
}

func proxyStatusCommand(address *string) *cobra.Command {
	out := newOutput("table", "wide", "json", "yaml")
	cmd := &cobra.Command{
		Use:   "status [NAMESPACE/POD]",
		Short: "Which sidecars are connected, and whether they have what they are to have",
		Long: "Without an argument, lists all sidecars; with one, the resources of that sidecar: the newest\n" +
			"version of each, the one sent and the one ACKed, and why it holds it.\n\n" +
			"Exit code 1 if a sidecar is behind or has rejected something.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return showProxy(cmd, *address, args[0], out)
			}
			return listProxies(cmd, *address, out)
		},
	}
	cmd.Flags().VarP(out, "output", "o", "format")
	return cmd
}

func listProxies(cmd *cobra.Command, address string, out *outputFlag) error {
	var list []ads.ProxyStatus
	if err := get(cmd.Context(), address, "/v1/proxies", &list); err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b ads.ProxyStatus) int { return strings.Compare(a.Pod, b.Pod) })
	if done, err := out.structured(cmd.OutOrStdout(), list); err != nil {
		return err
	} else if !done {
		printProxies(cmd.OutOrStdout(), list, out.value == "wide")
	}
	for _, p := range list {
		if !p.Synced || p.Rejects {
			return found
		}
	}
	return nil
}

func printProxies(w io.Writer, list []ads.ProxyStatus, wide bool) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No sidecar is connected.")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer tw.Flush()
	fmt.Fprint(tw, "POD\tSTATE\tCDS\tEDS\tLDS\tRDS\tVHDS\tSDS\tNACKS\tAGE")
	if wide {
		fmt.Fprint(tw, "\tIDENTITY\tREMOTE")
	}
	fmt.Fprintln(tw)
	for _, p := range list {
		held, nacks := map[string]int{}, uint32(0)
		for _, t := range p.Types {
			held[t.Type] = t.Held
			nacks += t.Nacked
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s", p.Pod, state(p), held["CDS"], held["EDS"], held["LDS"],
			held["RDS"], held["VHDS"], held["SDS"], nacks, age(p.Since))
		if wide {
			fmt.Fprintf(tw, "\t%s\t%s", p.Identity, p.Remote)
		}
		fmt.Fprintln(tw)
	}
}

// state sums a proxy up in a word.
func state(p ads.ProxyStatus) string {
	switch {
	case p.Rejects:
		return "REJECTS"
	case !p.Synced:
		return "BEHIND"
	}
	return "synced"
}

func age(since time.Time) string { return time.Since(since).Truncate(time.Second).String() }

func showProxy(cmd *cobra.Command, address, pod string, out *outputFlag) error {
	path, err := proxyPath(pod)
	if err != nil {
		return err
	}
	var d ads.ProxyDetail
	if err := get(cmd.Context(), address, path, &d); err != nil {
		return err
	}
	if done, err := out.structured(cmd.OutOrStdout(), d); err != nil {
		return err
	} else if !done {
		printProxy(cmd.OutOrStdout(), d, out.value == "wide")
	}
	if !d.Synced || d.Rejects {
		return found
	}
	return nil
}

func printProxy(w io.Writer, d ads.ProxyDetail, wide bool) {
	fmt.Fprintf(w, "Pod:       %s\nIdentity:  %s\nWorkload:  %s\nState:     %s\nConnected: %s ago, from %s\n\n",
		d.Pod, d.Identity, d.Workload, state(d.ProxyStatus), age(d.Since), d.Remote)
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(tw, "TYPE\tNAME\tVERSION\tACKED\tBECAUSE")
	if wide {
		fmt.Fprint(tw, "\tSENT\tVARIANT")
	}
	fmt.Fprintln(tw)
	for _, r := range d.Resources {
		acked := "yes"
		switch {
		case r.Rejected != "":
			acked = "REJECTED"
		case r.Version != r.Acked:
			acked = "no"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s", r.Type, r.Name, r.Version, acked, strings.Join(r.Why, ", "))
		if wide {
			fmt.Fprintf(tw, "\t%s\t%s", r.Sent, r.Variant)
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	for _, r := range d.Resources {
		if r.Rejected != "" {
			fmt.Fprintf(w, "\n%s %s: version %s was rejected: %s\n", r.Type, r.Name, r.Rejected, r.Reason)
		}
	}
}

func proxyConfigCommand(address *string) *cobra.Command {
	out := newOutput("yaml", "json")
	var types []string
	var name string
	cmd := &cobra.Command{
		Use:   "config NAMESPACE/POD",
		Short: "Print the configuration that a sidecar was last sent",
		Long:  "Prints the Envoy resources that a sidecar was last sent. Keys are not kept by the control plane and are not shown.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := proxyPath(args[0])
			if err != nil {
				return err
			}
			keep, err := typeFilter(types)
			if err != nil {
				return err
			}
			var list []controller.Resource
			if err := get(cmd.Context(), *address, path+"/config", &list); err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(r controller.Resource) bool {
				return !keep(r.Type) || name != "" && r.Name != name
			})
			return printResources(cmd.OutOrStdout(), list, out)
		},
	}
	cmd.Flags().VarP(out, "output", "o", "format")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only these types: SDS, CDS, EDS, LDS, RDS, VHDS")
	cmd.Flags().StringVar(&name, "name", "", "only the resource of this name")
	return cmd
}

// typeFilter returns a function that accepts the named resource types, or all.
func typeFilter(names []string) (func(string) bool, error) {
	wanted := make(map[string]bool)
	for _, n := range names {
		t, ok := ads.ParseType(n)
		if !ok {
			return nil, usage("--type %q is not one of SDS, CDS, EDS, LDS, RDS, VHDS", n)
		}
		wanted[t.String()] = true
	}
	return func(t string) bool { return len(wanted) == 0 || wanted[t] }, nil
}

// printResources prints one YAML document a resource, or a JSON list.
func printResources(w io.Writer, list []controller.Resource, out *outputFlag) error {
	if out.value == "json" {
		_, err := out.structured(w, list)
		return err
	}
	for _, r := range list {
		text, err := yaml.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

func proxyPath(pod string) (string, error) {
	namespace, name, ok := strings.Cut(pod, "/")
	if !ok || namespace == "" || name == "" || strings.ContainsAny(name, "/?#%") {
		return "", usage("%q does not name a pod: use NAMESPACE/POD", pod)
	}
	return "/v1/proxies/" + namespace + "/" + name, nil
}

// get asks the controller's debug listener.
func get(ctx context.Context, address, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client, base := http.DefaultClient, "http://"+address
	if socket, ok := strings.CutPrefix(address, "unix:"); ok {
		base = "http://localhost"
		client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return usage("--controller %q: %w", address, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the controller does not answer at %s: %w; is it running, and is --controller (or FAIRLEAD_CONTROLLER) its --debug-address?", address, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return fmt.Errorf("the controller says: %s", strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("the controller's answer cannot be read: %w", err)
	}
	return nil
}
