package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// answer is what catalog and store say of a call.
type answer struct {
	App     string `json:"app"`
	Version string `json:"version,omitempty"`
	Pod     string `json:"pod"`
	// Caller is the X-Forwarded-Client-Cert that the sidecar set; empty without one.
	Caller string `json:"caller"`
	Ledger string `json:"ledger,omitempty"`
	Store  string `json:"store,omitempty"`
}

// catalogCommand is the shop's list of goods. Each order is entered in the ledger.
func catalogCommand() *cobra.Command {
	c := &catalog{}
	var listen string
	cmd := &cobra.Command{
		Use: "catalog", Short: "The shop's list of goods", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /items", c.items)
			mux.HandleFunc("GET /order", c.order)
			mux.HandleFunc("GET /flaky", c.flaky)
			mux.HandleFunc("GET /slow", c.slow)
			return serve(cmd.Context(), listen, mux)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", ":8080", "address to serve on")
	cmd.Flags().StringVar(&c.version, "version", "v1", "version to answer with")
	cmd.Flags().StringVar(&c.ledger, "ledger", "ledger.shop:3306", "host and port of the ledger")
	cmd.Flags().StringVar(&c.store, "store", "http://store-0.store.shop:9000", "URL of the store")
	return cmd
}

type catalog struct {
	version, ledger, store string
	calls                  atomic.Uint64
}

func (c *catalog) items(w http.ResponseWriter, r *http.Request) {
	reply(w, answer{App: "catalog", Version: c.version, Pod: hostname(), Caller: r.Header.Get("x-forwarded-client-cert")})
}

// order calls on: the ledger over TCP, the store over HTTP.
func (c *catalog) order(w http.ResponseWriter, r *http.Request) {
	a := answer{App: "catalog", Version: c.version, Pod: hostname(), Caller: r.Header.Get("x-forwarded-client-cert")}
	var err error
	if a.Ledger, err = enter(r.Context(), c.ledger); err == nil {
		a.Store, err = fetch(r.Context(), c.store+"/whoami")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	reply(w, a)
}

// flaky fails one call in three.
func (c *catalog) flaky(w http.ResponseWriter, r *http.Request) {
	if c.calls.Add(1)%3 == 0 {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	c.items(w, r)
}

// slow takes two seconds.
func (c *catalog) slow(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(2 * time.Second):
		c.items(w, r)
	case <-r.Context().Done():
	}
}

// enter writes one line into the ledger, which greets first.
func enter(ctx context.Context, ledger string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", ledger)
	if err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil {
		return "", fmt.Errorf("ledger: no greeting: %w", err)
	}
	if _, err := fmt.Fprintln(conn, "one item sold"); err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	line, err := in.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("ledger: no receipt: %w", err)
	}
	return line[:len(line)-1], nil
}

// fetch gets a URL whole, over a connection of its own.
func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(body), nil
}

func reply(w http.ResponseWriter, a answer) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the caller may have gone
}
