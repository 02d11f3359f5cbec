package controller

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/certs/localissuer"
	"github.com/fairlead/fairlead/internal/version"
)

// Command is the program fairlead-controller.
func Command() *cobra.Command {
	var (
		o                         Options
		serviceRanges, podRanges  []string
		serverFirst               []uint
		logLevel, logFormat       string
		volumeOwner               int
		defaultServer, defaultPod = []string{"10.96.0.0/12"}, []string{"10.244.0.0/16"}
	)
	cmd := &cobra.Command{
		Use:   "fairlead-controller --manifests DIR --state-dir DIR",
		Short: "The control plane of the mesh",
		Long: "fairlead-controller reads Kubernetes objects from a folder, which it watches, and tells\n" +
			"the sidecars that connect to it over xDS what they use of it.\n\n" +
			"For each pod in the folder that is in the mesh it keeps STATE/pods/NAMESPACE/POD with a token,\n" +
			"the root and the SDS files: what a kubelet would mount into the sidecar.",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		Version: version.String(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(logLevel, logFormat)
			if err != nil {
				return err
			}
			o.Log = log
			if o.ServiceRanges, err = prefixes("--service-range", serviceRanges); err != nil {
				return err
			}
			if o.PodRanges, err = prefixes("--pod-range", podRanges); err != nil {
				return err
			}
			for _, p := range serverFirst {
				if p == 0 || p > 65535 {
					return fmt.Errorf("--server-first-port %d is not a port (1 to 65535)", p)
				}
				o.ServerFirstPorts = append(o.ServerFirstPorts, uint16(p))
			}
			if volumeOwner >= 0 {
				o.VolumeOwner = &localissuer.Owner{UID: volumeOwner, GID: volumeOwner}
			}
			return Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Manifests, "manifests", "", "folder of Kubernetes objects, watched")
	f.StringVar(&o.StateDir, "state-dir", "", "folder for the root, the issuer's key and the local sidecars' folders")
	f.StringVar(&o.XDSAddress, "xds-address", ":15012", "where sidecars connect, with TLS and a token")
	f.StringVar(&o.DebugAddress, "debug-address", "127.0.0.1:15014", "loopback address or unix:PATH of the debug listener; empty for none")
	f.StringSliceVar(&o.ServerNames, "server-name", []string{DefaultServerName}, "DNS name or address in the xDS port's certificate")
	f.StringVar(&o.CA, "ca", "", "folder with tls.crt, tls.key and ca.crt of a CA of your own; empty makes a root in the state folder")
	f.StringVar(&o.TrustDomain, "trust-domain", "cluster.local", "trust domain of all identities")
	f.StringSliceVar(&serviceRanges, "service-range", defaultServer, "addresses of Services, a prefix for each family")
	f.StringSliceVar(&podRanges, "pod-range", defaultPod, "addresses of pods, a prefix for each family")
	f.UintSliceVar(&serverFirst, "server-first-port", nil, "a port on which servers speak first, besides the well-known ones")
	f.BoolVar(&o.ServeIncomplete, "serve-incomplete", false, "serve although some manifests could not be read at the start")
	f.BoolVar(&o.RefuseOutside, "refuse-outside", false, "refuse calls to addresses outside the ranges, in place of passing them through")
	f.DurationVar(&o.LeafTTL, "leaf-ttl", 24*time.Hour, "life of a sidecar's certificate; renewed past half of it")
	f.DurationVar(&o.TokenTTL, "token-ttl", time.Hour, "life of a local workload's token")
	f.IntVar(&volumeOwner, "volume-owner", 1337, "user id that may read the local sidecars' folders; -1 for this process's own")
	f.DurationVar(&o.DrainWindow, "drain-window", 5*time.Second, "time over which connections are closed at the end")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&logFormat, "log-format", "text", "text or json")
	return cmd
}

func prefixes(flag string, values []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	var problems []error
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %q is not a prefix such as 10.96.0.0/12", flag, v))
			continue
		}
		all = append(all, p.Masked())
	}
	return all, errors.Join(problems...)
}

func newLogger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, fmt.Errorf("--log-format %q is not text or json", format)
}
