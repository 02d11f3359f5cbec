package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fairlead/fairlead/internal/demo"
	"github.com/fairlead/fairlead/internal/demo/report"
)

func demoCommand() *cobra.Command {
	var (
		o        demo.Options
		keep     bool
		examples string
		out      = newOutput("table", "json")
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the mesh at work on this machine, with real Envoys (Linux, root)",
		Long: "demo runs the example shop with a sidecar in every pod, each pod a network namespace, and\n" +
			"measures: identities on each hop, first calls, retries and timeouts, a release by editing a\n" +
			"file, the loss of the control plane, and the renewal of certificates. It takes less than a\n" +
			"minute and leaves nothing behind.\n\n" +
			"It needs root on Linux, an Envoy (make envoy) and, beside this program, fairlead-controller\n" +
			"and shop (make build).\n\n" +
			"Exit codes: 0 all as promised; 1 something is not, or could not be measured; 2 this machine\n" +
			"lacks something.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if examples != "" {
				if _, err := os.Stat(examples); err != nil {
					return usage("--examples: %w", err)
				}
				o.Examples = os.DirFS(examples)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return runDemo(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), o, out, keep)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&keep, "keep", false, "leave the mesh up until Ctrl-C, with commands to try")
	f.StringVar(&o.Dir, "dir", "", "work folder, empty or not there yet; unless set, one is made, and removed if all went well")
	f.StringVar(&examples, "examples", "", "folder with the shop's manifests, in place of the built-in ones")
	f.StringVar(&o.Programs, "programs", "", "folder of fairlead-controller and shop; unless set, that of this program")
	f.DurationVar(&o.Timeout, "timeout", 3*time.Minute, "give up measuring after this time")
	f.VarP(out, "output", "o", "format of the summary; with json, progress goes to standard error")
	return cmd
}

func runDemo(ctx context.Context, stdout, stderr io.Writer, o demo.Options, out *outputFlag, keep bool) error {
	show := stdout
	if out.value == "json" {
		show = stderr
	}
	reporter, style, width := newReporter(show)
	o.Reporter = reporter
	defer reporter.Close()
	o.Done = func(_ context.Context, s report.Summary, t demo.Tour) error {
		if done, err := out.structured(stdout, s); err != nil {
			return err
		} else if !done {
			if err := s.WriteTable(stdout, style, width()); err != nil {
				return err
			}
		}
		if !s.OK {
			fmt.Fprintln(stderr, "logs and manifests are in", t.Dir)
		}
		if keep {
			printTour(show, style, t)
			<-ctx.Done()
			fmt.Fprintln(show, "\ncleaning up")
		}
		return nil
	}
	summary, err := demo.Run(ctx, o)
	var need *demo.NeedError
	switch {
	case errors.As(err, &need):
		return &ExitError{Code: 2, Err: err}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return errors.New("interrupted; everything was cleaned up")
	case err != nil:
		return err
	case !summary.OK:
		return found
	}
	return nil
}

// newReporter picks the live view for a terminal that can show it. The width is that
// of the terminal, 0 if there is none.
func newReporter(out io.Writer) (r report.Reporter, style report.Style, width func() int) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return report.NewPlain(out, time.Now), report.NewStyle(false), func() int { return 0 }
	}
	colour := os.Getenv("NO_COLOR") == "" // https://no-color.org
	width = func() int {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
		return 80
	}
	return report.NewTerminal(out, width, colour), report.NewStyle(colour), width
}

func printTour(out io.Writer, style report.Style, t demo.Tour) {
	fmt.Fprintf(out, "\nThe mesh stays up until Ctrl-C. As root, in another terminal:\n")
	for _, s := range t.Stops {
		fmt.Fprintf(out, "\n  %s\n  %s\n", style.Dim("# "+s.Why), s.Command)
	}
}
