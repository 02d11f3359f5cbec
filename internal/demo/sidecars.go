//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/internal/lab"
)

// stats returns the counters and gauges of a sidecar by name.
func stats(ctx context.Context, e *lab.Envoy) (map[string]int64, error) {
	body, err := e.Admin(ctx, "/stats")
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil { // histograms are none
			all[name] = n
		}
	}
	return all, nil
}

// sum adds up the stats whose name begins and ends so.
func sum(stats map[string]int64, prefix, suffix string) int64 {
	var total int64
	for name, value := range stats {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			total += value
		}
	}
	return total
}

// leaf is the certificate that a sidecar shows now.
type leaf struct{ Identity, Serial string }

// leafOf reads a sidecar's own certificate from Envoy.
func leafOf(ctx context.Context, e *lab.Envoy) (leaf, error) {
	body, err := e.Admin(ctx, "/certs")
	if err != nil {
		return leaf{}, err
	}
	var said struct {
		Certificates []struct {
			Chain []struct {
				Serial string `json:"serial_number"`
				Names  []struct {
					URI string `json:"uri"`
				} `json:"subject_alt_names"`
			} `json:"cert_chain"`
		} `json:"certificates"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return leaf{}, fmt.Errorf("GET /certs of %s: %w", e.LogPath(), err)
	}
	for _, c := range said.Certificates {
		for _, link := range c.Chain {
			for _, n := range link.Names {
				if strings.HasPrefix(n.URI, "spiffe://") {
					return leaf{n.URI, link.Serial}, nil
				}
			}
		}
	}
	return leaf{}, fmt.Errorf("the sidecar (log %s) shows no certificate with a SPIFFE ID", e.LogPath())
}

// sidecars are the Envoys of all pods, in the order of the pods' names.
func (w *world) sidecars() []*lab.Envoy {
	names := make([]string, 0, len(w.pods))
	for name := range w.pods {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []*lab.Envoy
	for _, name := range names {
		all = append(all, w.pods[name].envoy)
	}
	return all
}

// sumOver adds up stats of several sidecars.
func sumOver(ctx context.Context, envoys []*lab.Envoy, prefix, suffix string) (int64, error) {
	var total int64
	for _, e := range envoys {
		s, err := stats(ctx, e)
		if err != nil {
			return 0, err
		}
		total += sum(s, prefix, suffix)
	}
	return total, nil
}
