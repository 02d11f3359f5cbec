//go:build linux

package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// renewalsEach is how often each sidecar's leaf has to be renewed while one looks.
const renewalsEach = 2

// showRenewal restarts the control plane with leaves that live for seconds, and
// watches each sidecar's leaf under load. Orders open a connection to the ledger
// each, so that every leaf is shown to a peer while it is new.
func showRenewal(ctx context.Context, w *world) ([]report.Row, error) {
	l := startLoad(ctx, w.pods["web-1"].HTTPClient, loadRate/2,
		"http://catalog."+namespace+"/items", "http://catalog."+namespace+"/order")
	w.Progress("restarting the control plane with --leaf-ttl %s", shortLeafTTL)
	stop, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := w.control.Stop(stop); err != nil {
		return nil, err
	}
	if err := w.startController(ctx, shortLeafTTL); err != nil {
		return nil, err
	}
	if err := until(ctx, startLimit, "sidecars in sync", w.inSync); err != nil {
		return nil, err
	}
	before, err := statsOver(ctx, w.sidecars(), statServerTLS)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	serials := make([]map[string]bool, len(w.pods))
	err = until(ctx, (renewalsEach+2)*shortLeafTTL, fmt.Sprintf("%d renewals of each leaf", renewalsEach), func(ctx context.Context) error {
		return w.collectSerials(ctx, serials, l)
	})
	if err != nil {
		return nil, err
	}
	watched := time.Since(began)
	after, err := statsOver(ctx, w.sidecars(), statServerTLS)
	if err != nil {
		return nil, err
	}
	seen := 0
	for _, s := range serials {
		seen += len(s)
	}
	row := noFailures("leaves that live for "+shortLeafTTL.String(), l.stop())
	row.Note = fmt.Sprintf("%d leaves seen in %d sidecars", seen, len(serials))
	w.Fact("leaves", fmt.Sprintf("%d different serials in %d sidecars within %s", seen, len(serials), watched.Round(100*time.Millisecond)))
	w.Fact("TLS handshakes", fmt.Sprintf("%d meanwhile", total(grown(before, after))))
	w.Fact("requests", fmt.Sprintf("%d, %d failures", row.Requests, row.Failures))
	return []report.Row{row}, nil
}

// collectSerials notes the serial that each sidecar shows now; nil when each has
// shown enough of them.
func (w *world) collectSerials(ctx context.Context, serials []map[string]bool, l *load) error {
	least, total := renewalsEach+1, 0
	for i, e := range w.sidecars() {
		shown, err := leafOf(ctx, e)
		if err != nil {
			return err
		}
		if serials[i] == nil {
			serials[i] = map[string]bool{}
		}
		serials[i][shown.Serial] = true
		least = min(least, len(serials[i]))
		total += len(serials[i])
	}
	answers := l.sofar()
	w.Progress("%d leaves seen in %d sidecars   %d requests, %d failures", total, len(serials), len(answers), tally("", answers).Failures)
	if least <= renewalsEach {
		return fmt.Errorf("a sidecar's leaf was renewed %d times", least-1)
	}
	return nil
}
