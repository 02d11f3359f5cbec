package report

import (
	"fmt"
	"io"
	"time"
)

// Plain writes a line for each step and each fact, and no progress: for files, pipes
// and logs.
type Plain struct {
	out   io.Writer
	now   func() time.Time
	began time.Time
}

// NewPlain returns a Plain that writes to out; now is the clock.
func NewPlain(out io.Writer, now func() time.Time) *Plain { return &Plain{out: out, now: now} }

// Step implements Reporter.
func (p *Plain) Step(title string) {
	p.began = p.now()
	fmt.Fprintln(p.out, title)
}

// Progress implements Reporter.
func (p *Plain) Progress(string) {}

// Fact implements Reporter.
func (p *Plain) Fact(label, text string) {
	fmt.Fprintf(p.out, "  %-*s %s\n", labelWidth, label, text)
}

// End implements Reporter.
func (p *Plain) End(problem string) {
	how := "ok"
	if problem != "" {
		how = "FAILED: " + problem
	}
	fmt.Fprintf(p.out, "  %s, %s\n\n", how, seconds(p.now().Sub(p.began)))
}

// Close implements Reporter.
func (p *Plain) Close() {}
