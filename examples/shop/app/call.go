package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// callCommand is what curl is elsewhere: a pod's image has no other tools.
func callCommand() *cobra.Command {
	var times int
	cmd := &cobra.Command{
		Use: "call URL", Short: "Get a URL and print the answer and how long it took", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for range times {
				began := time.Now()
				body, err := fetch(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%6.1f ms  %s\n", float64(time.Since(began).Microseconds())/1000, strings.TrimSpace(body))
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&times, "times", "n", 1, "how many times")
	return cmd
}
