package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// tally makes a row of answers. The note and the problem are the caller's.
func tally(what string, answers []answer) report.Row {
	r := report.Row{What: what, Requests: len(answers)}
	took := make([]time.Duration, 0, len(answers))
	for i := range answers {
		took = append(took, answers[i].took())
		if answers[i].err != nil {
			r.Failures++
		}
	}
	r.P50, r.P99 = report.Millis(quantile(took, 0.50)), report.Millis(quantile(took, 0.99))
	return r
}

// noFailures is tally for answers none of which may have failed.
func noFailures(what string, answers []answer) report.Row {
	r := tally(what, answers)
	switch {
	case r.Requests == 0:
		r.Problem = "no request was sent"
	case r.Failures > 0:
		r.Problem = fmt.Sprintf("%d of %d requests failed; the first: %v", r.Failures, r.Requests, firstError(answers))
	}
	return r
}

func firstError(answers []answer) error {
	for i := range answers {
		if answers[i].err != nil {
			return answers[i].err
		}
	}
	return nil
}

// quantile is the value that the share q of all is not above (nearest rank).
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	rank := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// share is the part of the answers, failed ones left out, that came from a version.
func share(answers []answer, version string) float64 {
	good, of := 0, 0
	for i := range answers {
		if answers[i].err != nil {
			continue
		}
		good++
		if answers[i].version == version {
			of++
		}
	}
	if good == 0 {
		return 0
	}
	return float64(of) / float64(good)
}

// lastEnd is when the last answer of a version came; zero if none did.
func lastEnd(answers []answer, version string) time.Time {
	var last time.Time
	for i := range answers {
		if a := &answers[i]; a.err == nil && a.version == version && a.end.After(last) {
			last = a.end
		}
	}
	return last
}

// startedWithin returns the answers to requests sent at or after from and before to.
func startedWithin(answers []answer, from, to time.Time) []answer {
	var in []answer
	for i := range answers {
		if s := answers[i].start; !s.Before(from) && s.Before(to) {
			in = append(in, answers[i])
		}
	}
	return in
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// millis writes a duration: "12.3 ms".
func millis(d time.Duration) string { return report.Millis(d).String() }

// human writes a duration that may be long: "12.3 ms", "4.1 s".
func human(d time.Duration) string {
	if d < time.Second {
		return millis(d)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
