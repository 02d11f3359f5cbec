package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/report"
	"github.com/fairlead/fairlead/test/bench/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		stop()
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	parts    []string
	services int
	proxies  int
	crowd    int
	rounds   int
	flips    int
	out      string
	profiles string
}

var allParts = []string{"flip", "idle", "reconnect", "translate", "envoy"}

func command() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure Fairlead against the sizes that it promises to hold",
		SilenceUsage:  true,
		SilenceErrors: false,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return raiseFileLimit(max(o.proxies, o.crowd))
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, p := range o.parts {
				if !slices.Contains(allParts, p) {
					return fmt.Errorf("--only: there is no part %q; the parts are %s", p, strings.Join(allParts, ", "))
				}
			}
			if slices.Contains(o.parts, "envoy") && os.Geteuid() != 0 {
				return fmt.Errorf("the part envoy makes network namespaces: run as root, or leave it out with --only %s", strings.Join(allParts[:len(allParts)-1], ","))
			}
			return run(cmd.Context(), o)
		},
	}
	f := root.Flags()
	f.StringSliceVar(&o.parts, "only", allParts, "the parts to run")
	f.IntVar(&o.services, "services", 1000, "Services in the cluster of the server's parts")
	f.IntVar(&o.proxies, "proxies", 2000, "proxies of flip, idle and reconnect")
	f.IntVar(&o.crowd, "crowd", 10000, "proxies of the second measurement of idle; 0 for none")
	f.IntVar(&o.rounds, "rounds", 5, "rounds of flip, the servers taking turns")
	f.IntVar(&o.flips, "flips", 6, "endpoint changes per round")
	f.StringVar(&o.out, "out", "build/bench.json", "where the list of figures goes")
	f.StringVar(&o.profiles, "profiles", "", "a folder for CPU and heap profiles of Fairlead's server")
	root.AddCommand(
		&cobra.Command{Use: "serve", Hidden: true, RunE: func(cmd *cobra.Command, _ []string) error { return serve.Process(cmd.Context()) }},
		&cobra.Command{Use: "drive", Hidden: true, RunE: func(cmd *cobra.Command, _ []string) error { return drive.Process(cmd.Context()) }},
	)
	return root
}

// raiseFileLimit: each proxy is a file descriptor at both ends.
func raiseFileLimit(proxies int) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	need := uint64(proxies + 1000)
	if os.Geteuid() == 0 {
		l.Max = max(l.Max, need)
	}
	if l.Max < need {
		return fmt.Errorf("the limit of open files is %d, but %d proxies need %d: raise it (ulimit -Hn), or set --proxies and --crowd", l.Max, proxies, need)
	}
	l.Cur = l.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

func run(ctx context.Context, o options) error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	r := &report.Report{}
	r.Note("peers: gcp is go-control-plane's delta server on linear caches, filled beforehand with the resources that Fairlead built; it translates nothing, checks no token and issues no certificate")
	r.Note("peers: bare is grpc-go sending the same encoded bytes on each stream; all servers have Fairlead's TLS and gRPC options (of go-control-plane with these and with grpc-go's defaults, the better one is compared)")
	r.Note("load of the machine at the start: %s", strings.TrimSpace(string(load)))
	logf("load of the machine: %s", strings.TrimSpace(string(load)))
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, report: r}
	runErr := b.run(ctx)
	if err := r.WriteTable(os.Stdout); err != nil {
		return err
	}
	if runErr != nil {
		return runErr
	}
	return r.WriteJSON(o.out)
}

// logf tells what goes on, apart from the table.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
