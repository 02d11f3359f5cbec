// Package cli is the command fairlead, also the kubectl plugin kubectl-fairlead.
//
// Each command turns arguments into a value and prints that value: the work is
// done in the rooms (mesh, policy, xds). Results go to standard output, progress
// and errors to standard error. Exit codes: 0 done and nothing found, 1 the
// command found what it looks for (a lint error, a proxy out of sync) or its work
// failed, 2 it could not be done as asked (arguments, unreadable input).
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/internal/version"
)

// ExitError ends the program with a code; Err, if any, is printed first.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns what caused the exit.
func (e *ExitError) Unwrap() error { return e.Err }

// usage marks an error as the caller's: exit code 2.
func usage(format string, args ...any) error {
	return &ExitError{Code: 2, Err: fmt.Errorf(format, args...)}
}

// found says that a command did its work and what it looks for is there: exit code 1.
var found = &ExitError{Code: 1}

// New returns the root command.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:   commandName(),
		Short: "Mutual TLS, routes and retries between the workloads of a cluster",
		Long: "fairlead shows, checks and drives a Fairlead service mesh.\n\n" +
			"Exit codes: 0 all is well; 1 something was found (lint errors, proxies out of sync) or failed;\n" +
			"2 the command could not be carried out as asked.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(lintCommand(), renderCommand(), proxyCommand(), demoCommand(), versionCommand())
	return root
}

// commandName is how the program was called: "kubectl fairlead" as a plugin.
func commandName() string {
	if len(os.Args) > 0 && strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-") {
		return "kubectl fairlead"
	}
	return "fairlead"
}

// Main runs the command and returns the exit code.
func Main(root *cobra.Command, stderr io.Writer) int {
	err := root.Execute()
	if err == nil {
		return 0
	}
	var exit *ExitError
	if !errors.As(err, &exit) {
		// cobra's own complaints (unknown command, wrong number of arguments) and
		// failures of the work look alike here; the first kind is said by cobra in
		// words that begin so.
		exit = &ExitError{Code: 1, Err: err}
		for _, start := range []string{"unknown command", "accepts ", "requires ", "required flag"} {
			if strings.HasPrefix(err.Error(), start) {
				exit.Code = 2
			}
		}
	}
	if exit.Err != nil {
		fmt.Fprintln(stderr, "error:", exit.Err)
	}
	return exit.Code
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.String())
			return err
		},
	}
}
