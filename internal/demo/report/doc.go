// Package report shows how a demonstration goes on, and sums up what it measured.
//
// In come steps, facts and progress as they happen, and rows of numbers at the end;
// out goes text: a live view for a terminal (Terminal), plain lines for everything
// else (Plain), a table or JSON for the Summary. It measures and judges nothing.
package report

import "time"

// Reporter is told what happens. Its methods are called from one goroutine.
type Reporter interface {
	// Step begins a step; the one before has been ended.
	Step(title string)
	// Progress says what is going on right now, in place of what it said before. It
	// may come often, and may not be shown at all.
	Progress(text string)
	// Fact adds something that was measured; label says what of, or is "" for more
	// on the same.
	Fact(label, text string)
	// End ends the step. A step with a problem has failed.
	End(problem string)
	// Close leaves the output as a user expects to find it.
	Close()
}

// labelWidth is the column in which the text of a fact begins.
const labelWidth = 24

// seconds writes a duration for the end of a line: "3.1 s".
func seconds(d time.Duration) string { return decimal(d.Seconds(), 1) + " s" }
