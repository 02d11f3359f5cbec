//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/internal/lab"
)

// stats returns the counters and gauges of a sidecar whose name matches the regular
// expression, by name.
func stats(ctx context.Context, e *lab.Envoy, filter string) (map[string]int64, error) {
	body, err := e.Admin(ctx, "/stats?filter="+url.QueryEscape(filter))
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

// statsOver adds up, by name, the stats of several sidecars.
func statsOver(ctx context.Context, envoys []*lab.Envoy, filter string) (map[string]int64, error) {
	all := map[string]int64{}
	for _, e := range envoys {
		one, err := stats(ctx, e, filter)
		if err != nil {
			return nil, err
		}
		for name, n := range one {
			all[name] += n
		}
	}
	return all, nil
}

// total adds up stats of any name.
func total(stats map[string]int64) (sum int64) {
	for _, n := range stats {
		sum += n
	}
	return sum
}

// grown returns by how much each stat grew; those that did not are left out.
func grown(before, after map[string]int64) map[string]int64 {
	diff := map[string]int64{}
	for name, n := range after {
		if n > before[name] {
			diff[name] = n - before[name]
		}
	}
	return diff
}

// Stats of Envoy, as regular expressions.
const (
	// statConnected is 1 while the sidecar has a stream to the control plane.
	statConnected = `^control_plane\.connected_state$`
	// statNewClusters counts destinations that the sidecar did not know before.
	statNewClusters = `^cluster_manager\.cluster_added$`
	// statServerTLS counts TLS handshakes of callers that ended well.
	statServerTLS = `^listener\.0\.0\.0\.0_15006\.ssl\.handshake$`
)

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
	var all []*lab.Envoy
	for _, name := range slices.Sorted(maps.Keys(w.pods)) {
		all = append(all, w.pods[name].envoy)
	}
	return all
}
