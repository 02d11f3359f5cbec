package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// pageWidth is how wide the table and a step's title are, at most.
const pageWidth = 100

// Row is what was measured of one thing.
type Row struct {
	Step string `json:"step"`
	What string `json:"what"`
	// Requests is how many were sent, Failures how many of them failed.
	Requests int `json:"requests"`
	Failures int `json:"failures"`
	// P50 and P99 are of the time that a request took.
	P50 Millis `json:"p50Milliseconds"`
	P99 Millis `json:"p99Milliseconds"`
	// Note is what was measured besides.
	Note string `json:"note,omitempty"`
	// Problem says what is not as the mesh promises. Failures alone are no problem:
	// some rows show what happens without the mesh's help.
	Problem string `json:"problem,omitempty"`
}

// Millis is a duration that JSON shows as a number of milliseconds.
type Millis time.Duration

// MarshalJSON writes milliseconds with three decimals at most.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1000, 'f', -1, 64), nil
}

// String writes "12.3 ms".
func (m Millis) String() string {
	ms := float64(time.Duration(m)) / float64(time.Millisecond)
	digits := 1
	if ms >= 100 {
		digits = 0
	}
	return decimal(ms, digits) + " ms"
}

// Summary is all that was measured.
type Summary struct {
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Rows    []Row   `json:"rows"`
}

// Totals sums up the requests of all rows.
func (s *Summary) Totals() (requests, failures int) {
	for _, r := range s.Rows {
		requests += r.Requests
		failures += r.Failures
	}
	return requests, failures
}

// WriteTable writes the summary for a person. Notes that would make a line longer
// than width cells are left out; 0 is no limit.
func (s *Summary) WriteTable(out io.Writer, style Style, width int) error {
	const numbers = "%9s %9s %10s %10s"
	var b strings.Builder
	what := 0
	for _, r := range s.Rows {
		what = max(what, utf8.RuneCountInString(r.What))
	}
	line := func(left, n string) { fmt.Fprintf(&b, "%s%s\n", left, n) }
	pad := func(text string) string {
		return text + strings.Repeat(" ", max(what+2-utf8.RuneCountInString(text), 0))
	}
	line(pad(""), style.Dim(fmt.Sprintf(numbers, "requests", "failures", "p50", "p99")))
	step := ""
	for _, r := range s.Rows {
		if r.Step != step {
			step = r.Step
			line(style.Bold(step), "")
		}
		p50, p99 := r.P50.String(), r.P99.String()
		if r.Requests == 0 {
			p50, p99 = "", ""
		}
		failures := fmt.Sprintf("%9d", r.Failures)
		switch {
		case r.Problem != "":
			failures = style.Red(failures)
		case r.Failures == 0:
			failures = style.Green(failures)
		}
		note := r.Note
		if width > 0 && utf8.RuneCountInString(note) > width-what-len("    requests  failures        p50        p99  ") {
			note = ""
		}
		if note != "" {
			note = "  " + style.Dim(note)
		}
		line("  "+pad(r.What), fmt.Sprintf("%7d %s %10s %10s%s", r.Requests, failures, p50, p99, note))
	}
	b.WriteByte('\n')
	for _, r := range s.Rows {
		if r.Problem != "" {
			line(style.Red("FAILED")+" "+r.Step+", "+r.What+": ", r.Problem)
		}
	}
	requests, _ := s.Totals()
	verdict := style.Green("all as promised")
	if !s.OK {
		verdict = style.Red("not as promised")
	}
	fmt.Fprintf(&b, "%d requests in %s s: %s\n", requests, decimal(s.Seconds, 0), verdict)
	_, err := io.WriteString(out, b.String())
	return err
}

func decimal(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
