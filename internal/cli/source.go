package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/manifests"
)

// sourceFlags say where a command that works offline finds its objects.
type sourceFlags struct {
	file      string
	namespace string
}

func (s *sourceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "filename", "f", "", "file or folder of manifests, or - for standard input (in place of the argument)")
	cmd.Flags().StringVarP(&s.namespace, "namespace", "n", "default", "namespace of objects that name none")
}

// read reads the manifests that the flags or the argument name.
func (s *sourceFlags) read(ctx context.Context, stdin io.Reader, args []string) (manifests.Result, error) {
	path := s.file
	switch {
	case path == "" && len(args) == 0:
		return manifests.Result{}, usage("name a folder of manifests, or -f - for standard input")
	case path != "" && len(args) > 0:
		return manifests.Result{}, usage("both %q and -f %q name manifests: give one of them", args[0], path)
	case path == "":
		path = args[0]
	}
	o := manifests.Options{Namespace: s.namespace, StandIns: true}
	var result manifests.Result
	var err error
	if path == "-" {
		result, err = manifests.Read(stdin, "-", o)
	} else {
		result, err = manifests.Load(ctx, path, o)
	}
	if err != nil {
		return manifests.Result{}, &ExitError{Code: 2, Err: err}
	}
	return result, nil
}

// offlineSettings are those of a mesh in which every address is inside: the
// folder's own, and those that stand in for what a cluster would give.
func offlineSettings() mesh.Settings {
	o := manifests.Options{}.WithDefaults()
	ranges := append([]netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("fc00::/7"),
	}, o.ServiceRanges...)
	return mesh.Settings{
		TrustDomain:   mesh.DefaultTrustDomain,
		Ranges:        append(ranges, o.PodRanges...),
		ServiceRanges: o.ServiceRanges,
	}
}

// complain prints what could not be read, and what was left aside.
func complain(w io.Writer, result manifests.Result) {
	for _, p := range result.Problems {
		fmt.Fprintln(w, p.Error())
	}
	for _, s := range result.Skipped {
		fmt.Fprintln(w, "note:", s.String())
	}
}
