package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"
)

// ledgerCommand speaks a line protocol over TCP in which the server greets first.
func ledgerCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "ledger", Short: "The shop's books, over TCP", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			context.AfterFunc(cmd.Context(), func() { l.Close() })
			var entries atomic.Uint64
			for {
				conn, err := l.Accept()
				if cmd.Context().Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				go book(conn, &entries)
			}
		},
	}
	cmd.Flags().StringVar(&listen, "listen", ":3306", "address to serve on")
	return cmd
}

// book greets, then numbers each line that it is given.
func book(conn net.Conn, entries *atomic.Uint64) {
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "ledger on %s is open\n", hostname()); err != nil {
		return
	}
	for in := bufio.NewScanner(conn); in.Scan(); {
		if _, err := fmt.Fprintf(conn, "entry %d: %s\n", entries.Add(1), in.Text()); err != nil {
			return
		}
	}
}

// storeCommand answers with its own name, as one of several that are not alike.
func storeCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "store", Short: "One of the shop's stores", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
				reply(w, answer{App: "store", Pod: hostname(), Caller: r.Header.Get("x-forwarded-client-cert")})
			})
			return serve(cmd.Context(), listen, mux)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", ":9000", "address to serve on")
	return cmd
}

// hostname is the pod's name: from the environment, where a pod shares the
// host's name, else the host's.
func hostname() string {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
