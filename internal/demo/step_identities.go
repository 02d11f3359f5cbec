//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/fairlead/fairlead/internal/demo/report"
	"github.com/fairlead/fairlead/internal/lab"
)

// orders is how many orders the step places; each goes over every hop.
const orders = 20

// showIdentities places orders at the shop's front and asks on each hop who the two
// ends proved to be: the app that was called (X-Forwarded-Client-Cert), and for TCP,
// where no header can tell, the two sidecars.
func showIdentities(ctx context.Context, w *world) ([]report.Row, error) {
	clients := []*lab.Envoy{w.pods["catalog-v1-1"].envoy, w.pods["catalog-v1-2"].envoy, w.pods["catalog-v2-1"].envoy}
	server := w.pods["ledger-1"].envoy
	before, err := countHandshakes(ctx, clients, server)
	if err != nil {
		return nil, err
	}
	// The front itself is asked from inside its pod, as its own users are not in the
	// mesh; from there on the apps call each other.
	client := w.pods["web-1"].HTTPClient()
	answers := calls(ctx, client, "http://127.0.0.1:"+strconv.Itoa(int(w.pods["web-1"].port()))+"/order", orders, 1)
	row := noFailures("orders, over every hop", answers)
	if row.Problem != "" {
		return []report.Row{row}, nil
	}
	after, err := countHandshakes(ctx, clients, server)
	if err != nil {
		return nil, err
	}
	row.Problem = firstOf(
		w.httpHop("web -> catalog", "web", "catalog", callers(answers)),
		w.httpHop("catalog -> store-0", "catalog", "store", storeCallers(answers)),
	)
	tcp, err := w.tcpHop(ctx, clients[0], server, after.minus(before))
	if err != nil {
		return nil, err
	}
	outside, err := w.outsider(ctx)
	if err != nil {
		return nil, err
	}
	row.Problem = firstOf(row.Problem, tcp)
	return []report.Row{row, outside}, nil
}

func callers(answers []answer) []string {
	var all []string
	for _, a := range answers {
		all = append(all, a.caller)
	}
	return all
}

// storeCallers are what the store saw of its caller, as it told the catalog.
func storeCallers(answers []answer) []string {
	var all []string
	for _, a := range answers {
		var said shopAnswer
		_ = json.Unmarshal([]byte(a.store), &said) // what is no answer names no caller
		all = append(all, said.Caller)
	}
	return all
}

// httpHop shows who the ends of a hop are, and returns what is wrong with it.
func (w *world) httpHop(hop, from, to string, headers []string) (problem string) {
	good, seen := 0, peers{}
	for _, h := range headers {
		seen = parsePeers(h)
		if seen.URI == identity(from) && seen.By == identity(to) {
			good++
		} else if problem == "" {
			problem = fmt.Sprintf("%s: the app saw the caller %q of %q, want %q of %q", hop, seen.URI, seen.By, identity(from), identity(to))
		}
	}
	w.showHop(hop, short(seen.URI)+" -> "+short(seen.By), fmt.Sprintf("HTTP, mTLS on %d of %d", good, len(headers)))
	return problem
}

func (w *world) showHop(hop, ends, how string) { w.Fact(hop, fmt.Sprintf("%-27s  %s", ends, how)) }

// identity is the SPIFFE ID of one of the shop's accounts.
func identity(account string) string {
	return "spiffe://cluster.local/ns/" + namespace + "/sa/" + account
}

// handshakes count what both sides of the TCP hop saw.
type handshakes struct {
	client, server    int64 // TLS handshakes that ended well
	nameless, refused int64 // clients without a certificate; servers of a wrong name
}

func (h handshakes) minus(o handshakes) handshakes {
	return handshakes{h.client - o.client, h.server - o.server, h.nameless - o.nameless, h.refused - o.refused}
}

func countHandshakes(ctx context.Context, clients []*lab.Envoy, server *lab.Envoy) (h handshakes, err error) {
	const toLedger = `^cluster\.tcp/` + namespace + `/ledger.*\.ssl\.`
	count := func(envoys []*lab.Envoy, filter string) (n int64) {
		all, e := statsOver(ctx, envoys, filter)
		err = errors.Join(err, e)
		return total(all)
	}
	h.client = count(clients, toLedger+`handshake$`)
	h.refused = count(clients, toLedger+`fail_verify_(san|error)$`)
	h.server = count([]*lab.Envoy{server}, statServerTLS)
	h.nameless = count([]*lab.Envoy{server}, `^listener\.0\.0\.0\.0_15006\.ssl\.no_certificate$`)
	return h, err
}

// tcpHop shows the hop to the ledger, in which the server speaks first.
func (w *world) tcpHop(ctx context.Context, client, server *lab.Envoy, h handshakes) (problem string, err error) {
	from, err := leafOf(ctx, client)
	if err != nil {
		return "", err
	}
	to, err := leafOf(ctx, server)
	if err != nil {
		return "", err
	}
	w.showHop("catalog -> ledger", short(from.Identity)+" -> "+short(to.Identity), fmt.Sprintf("TCP, mTLS on %d of %d", min(h.client, h.server), orders))
	switch {
	case from.Identity != identity("catalog") || to.Identity != identity("ledger"):
		return fmt.Sprintf("catalog -> ledger: the sidecars hold the leaves of %q and %q", from.Identity, to.Identity), nil
	case h.client != orders || h.server != orders || h.nameless != 0 || h.refused != 0:
		return fmt.Sprintf("catalog -> ledger: of %d connections %d and %d were TLS, %d without a client's certificate, %d refused",
			orders, h.client, h.server, h.nameless, h.refused), nil
	}
	return "", nil
}

// outsider calls the catalog from a pod without a sidecar: the mesh is permissive
// unless told otherwise, but such a caller has no name.
func (w *world) outsider(ctx context.Context) (report.Row, error) {
	p, err := w.addOutsider("outsider")
	if err != nil {
		return report.Row{}, err
	}
	catalog := w.pods["catalog-v1-1"]
	url := "http://" + net.JoinHostPort(catalog.Address().String(), strconv.Itoa(int(catalog.port()))) + "/items"
	answers := calls(ctx, p.HTTPClient(), url, 5, 1)
	row := noFailures("outsider -> catalog", answers)
	nameless := 0
	for _, a := range answers {
		if a.caller == "" {
			nameless++
		} else if row.Problem == "" {
			row.Problem = fmt.Sprintf("a caller without a sidecar is taken for %q", a.caller)
		}
	}
	w.showHop("outsider -> catalog", "nobody", fmt.Sprintf("HTTP, plaintext, %d of %d", nameless, len(answers)))
	return row, nil
}

func firstOf(problems ...string) string {
	for _, p := range problems {
		if p != "" {
			return p
		}
	}
	return ""
}
