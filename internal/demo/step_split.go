//go:build linux

package demo

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

const (
	// loadRate is in requests per second.
	loadRate = 200
	// splitWindow is how long the load runs before the edit, and after.
	splitWindow = 2500 * time.Millisecond
	// editLimit is when an edit must have taken effect, on a busy machine too.
	editLimit = time.Second
)

// showSplit edits the weights in the route's file while requests go on.
func showSplit(ctx context.Context, w *world) ([]report.Row, error) {
	l := startLoad(ctx, w.pods["web-1"].HTTPClient, loadRate, "http://catalog."+namespace+"/items")
	if err := pause(ctx, splitWindow, func(float64) { w.showShares(l, time.Time{}) }); err != nil {
		return nil, err
	}
	edited := time.Now()
	file, err := editWeights(w.manifests(), weights{v1: 0, v2: 100})
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, splitWindow, func(float64) { w.showShares(l, edited) }); err != nil {
		return nil, err
	}
	answers := l.stop()

	before := startedWithin(answers, time.Time{}, edited)
	first := noFailures("90/10", before)
	v2 := share(before, "v2")
	first.Note = fmt.Sprintf("v1 %s, v2 %s", percent(1-v2), percent(v2))
	if off := math.Abs(v2 - 0.1); first.Problem == "" && off > chance(0.1, len(before)) {
		first.Problem = "v2 got " + percent(v2) + ", the rule says 10 %"
	}
	after := noFailures("0/100, from the edit on", startedWithin(answers, edited, time.Now()))
	lastV1 := max(lastEnd(answers, "v1").Sub(edited), 0)
	settled := startedWithin(answers, edited.Add(lastV1), time.Now())
	last := human(lastV1) + " after the edit"
	if lastV1 == 0 {
		last = "before the edit"
	}
	after.Note = "v1 gone " + last
	if after.Problem == "" && (lastV1 > editLimit || len(settled) == 0) {
		after.Problem = "the last v1 answer came " + last
	}

	w.Fact("90/10", fmt.Sprintf("v1 %s, v2 %s of %d answers, %d failures", percent(1-v2), percent(v2), first.Requests, first.Failures))
	w.Fact("edit", filepath.Base(file)+": weights 90, 10 become 0, 100")
	w.Fact("last answer of v1", last)
	w.Fact("0/100", fmt.Sprintf("v1 %s, v2 %s of %d answers, %d failures",
		percent(share(settled, "v1")), percent(share(settled, "v2")), len(settled), after.Failures))
	return []report.Row{first, after}, nil
}

// chance is how far a share of n answers may be from what the rule says: four
// standard deviations, which chance exceeds once in 16,000 times.
func chance(share float64, n int) float64 {
	return 4 * math.Sqrt(share*(1-share)/float64(max(n, 1)))
}

// showShares shows what the last half second's answers were, at most back to from.
func (w *world) showShares(l *load, from time.Time) {
	answers := l.sofar()
	if recent := time.Now().Add(-500 * time.Millisecond); recent.After(from) {
		from = recent
	}
	v1 := share(startedWithin(answers, from, time.Now()), "v1")
	failures := tally("", answers).Failures
	w.Progress("v1 %3.0f %% %s %3.0f %% v2   %d requests, %d failures", 100*v1, report.Bar(v1, 30), 100*(1-v1), len(answers), failures)
}
