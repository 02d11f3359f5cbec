package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// webCommand is the shop's front: it asks the catalog and passes its answer on.
func webCommand() *cobra.Command {
	var listen, catalog string
	cmd := &cobra.Command{
		Use: "web", Short: "The shop's front", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			mux := http.NewServeMux()
			mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
				req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, catalog+r.URL.RequestURI(), nil)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					http.Error(w, fmt.Sprintf("catalog: %v", err), http.StatusBadGateway)
					return
				}
				defer resp.Body.Close()
				w.Header().Set("content-type", resp.Header.Get("content-type"))
				w.WriteHeader(resp.StatusCode)
				_, _ = io.Copy(w, resp.Body) // the caller may have gone
			})
			return serve(cmd.Context(), listen, mux)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", ":8080", "address to serve on")
	cmd.Flags().StringVar(&catalog, "catalog", "http://catalog.shop", "URL of the catalog")
	return cmd
}
