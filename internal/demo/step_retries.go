//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

const (
	flakyCalls = 300
	// slowCalls stay below what puts an endpoint out: five gateway failures in a row.
	slowCalls = 8
	// ruleTimeout is the rule's, and timerSlack how early Envoy's timers, which count
	// whole milliseconds, may be.
	ruleTimeout = 250 * time.Millisecond
	timerSlack  = 5 * time.Millisecond
	// usualLimit is for the median, latestLimit for each call: a busy machine is late,
	// but far from the 2 s of the app.
	usualLimit  = 400 * time.Millisecond
	latestLimit = time.Second
)

// showRetriesAndTimeouts makes the same calls to the same pods twice: by the Service
// that has rules (catalog), and by one that has none (catalog-v1).
func showRetriesAndTimeouts(ctx context.Context, w *world) ([]report.Row, error) {
	client := w.pods["web-1"].HTTPClient()
	withRule, without := "http://catalog."+namespace, "http://catalog-v1."+namespace

	hanging := make(chan []answer, 1)
	go func() { hanging <- calls(ctx, w.pods["web-1"].HTTPClient(), without+"/slow", 1, 1) }()

	w.Progress("%d calls to a backend that fails one in three", flakyCalls)
	plain := tally("/flaky, no rule", calls(ctx, client, without+"/flaky", flakyCalls, 1))
	failed := float64(plain.Failures) / flakyCalls
	plain.Note = percent(failed) + ", as the app does"
	if failed < 0.25 || failed > 0.42 {
		plain.Problem = fmt.Sprintf("%s of the calls failed, want about a third: retried without a rule, or broken otherwise", percent(failed))
	}
	hidden := noFailures("/flaky, with retries", calls(ctx, client, withRule+"/flaky", flakyCalls, 1))
	w.Fact("/flaky, no rule", fmt.Sprintf("%d of %d calls fail, %s", plain.Failures, flakyCalls, percent(failed)))
	w.Fact("/flaky, with retries", fmt.Sprintf("%d of %d", hidden.Failures, flakyCalls))

	w.Progress("%d calls to a backend that hangs", slowCalls)
	cut := timeouts("/slow, with a timeout", calls(ctx, client, withRule+"/slow", slowCalls, 4))
	w.Progress("one call without the rule, until it is answered")
	slow := noFailures("/slow, no rule", <-hanging)
	w.Fact("/slow, no rule", "answered after "+human(time.Duration(slow.P50)))
	w.Fact("/slow, with a timeout", fmt.Sprintf("cut off after %s (p99 %s), rule: %s", cut.P50, cut.P99, millis(ruleTimeout)))
	return []report.Row{plain, hidden, slow, cut}, nil
}

// timeouts is a row of calls that all have to be cut off, at the rule's time.
func timeouts(what string, answers []answer) report.Row {
	row := tally(what, answers)
	row.Note = "504, as the rule says"
	for _, a := range answers {
		var status *statusError
		if !errors.As(a.err, &status) || status.code != http.StatusGatewayTimeout {
			row.Problem = fmt.Sprintf("want 504 for each call, got: %v", a.err)
		} else if a.took() < ruleTimeout-timerSlack || a.took() > latestLimit {
			row.Problem = fmt.Sprintf("a call was cut off after %s, the rule says %s", millis(a.took()), millis(ruleTimeout))
		}
	}
	if row.Problem == "" && time.Duration(row.P50) > usualLimit {
		row.Problem = fmt.Sprintf("calls were cut off after %s, the rule says %s", row.P50, millis(ruleTimeout))
	}
	return row
}
