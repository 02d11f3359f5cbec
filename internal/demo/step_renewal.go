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

// lookInterval is the time between two looks at all leaves.
const lookInterval = 200 * time.Millisecond

// showRenewal restarts the control plane with leaves that live for seconds, and
// watches each sidecar's leaf under load. Orders open a connection to the ledger
// each, so that every leaf is shown to a peer while it is new.
func showRenewal(ctx context.Context, w *world) ([]report.Row, error) {
	l := w.startOrders(ctx)
	w.Progress("restarting the control plane with --leaf-ttl %s", shortLeafTTL)
	if err := w.control.Kill(); err != nil {
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
	leaves, err := w.watchLeaves(ctx, l)
	if err != nil {
		return nil, err
	}
	watched := time.Since(began)
	after, err := statsOver(ctx, w.sidecars(), statServerTLS)
	if err != nil {
		return nil, err
	}
	row := noFailures("leaves that live for "+shortLeafTTL.String(), l.stop())
	row.Note = fmt.Sprintf("%d leaves seen in %d sidecars", leaves, len(w.pods))
	w.Fact("leaves", fmt.Sprintf("%d serial numbers seen in %d sidecars within %s", leaves, len(w.pods), human(watched)))
	w.Fact("TLS handshakes", fmt.Sprintf("%d meanwhile", total(grown(before, after))))
	w.Fact("requests", fmt.Sprintf("%d, %d failures", row.Requests, row.Failures))
	return []report.Row{row}, nil
}

// watchLeaves returns how many leaves were seen when each sidecar's was renewed
// often enough.
func (w *world) watchLeaves(ctx context.Context, l *load) (seen int, err error) {
	serials := map[string]int{} // of a pod
	known := map[leaf]bool{}
	for deadline := time.Now().Add((renewalsEach + 2) * shortLeafTTL); ; {
		if err := pause(ctx, lookInterval, func(float64) {
			w.showLoad(l, fmt.Sprintf("%d leaves seen in %d sidecars", len(known), len(w.pods)))
		}); err != nil {
			return 0, err
		}
		least := renewalsEach + 1
		for name, p := range w.pods {
			shown, err := leafOf(ctx, p.envoy)
			if err != nil {
				return 0, err
			}
			if !known[shown] {
				known[shown] = true
				serials[name]++
			}
			least = min(least, serials[name])
		}
		if least > renewalsEach {
			return len(known), nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("a sidecar's leaf, which lives for %s, was renewed %d times only", shortLeafTTL, least-1)
		}
	}
}
