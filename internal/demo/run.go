//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// step is one thing to show. run returns what it measured; an error means that it
// could not measure, and ends the demonstration.
type step struct {
	name, title string
	run         func(context.Context, *world) ([]report.Row, error)
}

// steps are in the order in which they build on each other: the outage wants leaves
// that outlast it, so the short-lived ones come last.
func steps() []step {
	return []step{
		{"identities", "Who calls whom, proved on every hop", showIdentities},
		{"first calls", "A new pod's first calls: it is told of what it calls, no more", showFirstCalls},
		{"retries, timeouts", "A flaky backend hidden, a hanging one cut off", showRetriesAndTimeouts},
		{"release", "A release: 90/10, then 0/100, by editing a file under load", showSplit},
		{"outage", "The control plane killed under load", showOutage},
		{"certificates", "Certificates renewed every few seconds under load", showRenewal},
	}
}

// Run builds the mesh, shows every step and takes the mesh down again. The summary
// holds what was measured until then, whatever the error. The error is a NeedError
// if this machine lacks something, ctx's if that ended first, or says what could
// not be measured. What was measured and is not as promised is in the summary, and
// no error.
func Run(ctx context.Context, o Options) (summary report.Summary, err error) {
	began := time.Now()
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Minute
	}
	measuring, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel() // ends a load that an error left running, too
	w, err := newWorld(measuring, o)
	if err != nil {
		return summary, err
	}
	defer func() { err = errors.Join(err, w.close(err == nil && summary.OK || ctx.Err() != nil)) }()

	o.Reporter.Step("0  A shop with a sidecar in every pod, each pod a network namespace")
	if err := w.start(measuring); err != nil {
		return summary, w.failed(ctx, err)
	}
	o.Reporter.End("")
	for i, s := range steps() {
		o.Reporter.Step(fmt.Sprintf("%d  %s", i+1, s.title))
		rows, err := s.run(measuring, w)
		for j := range rows {
			rows[j].Step = s.name
		}
		summary.Rows = append(summary.Rows, rows...)
		if err != nil {
			return summary, w.failed(ctx, fmt.Errorf("%s: %w", s.name, err))
		}
		o.Reporter.End(firstProblem(rows))
	}
	summary.OK = firstProblem(summary.Rows) == ""
	summary.Seconds = time.Since(began).Seconds()
	o.Reporter.Close()
	cancel()
	if o.Done != nil {
		err = o.Done(ctx, summary, w.tour())
	}
	return summary, err
}

func firstProblem(rows []report.Row) string {
	for _, r := range rows {
		if r.Problem != "" {
			return r.What + ": " + r.Problem
		}
	}
	return ""
}
