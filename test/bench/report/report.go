// Package report is what the benchmarks found: as a table for a person, and as a
// list for a machine. It measures nothing.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Figure is one result.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Peer is the same figure of the peer that is named in PeerName, measured in the
	// same run; nil if there is none.
	Peer *float64 `json:"peer"`
	// Ratio is Value over Peer.
	Ratio *float64 `json:"ratio"`

	PeerName string  `json:"-"`
	Target   *Target `json:"-"`
	Section  string  `json:"-"`
}

// Target is what a value should hold.
type Target struct {
	Limit   float64
	AtLeast bool // else at most
}

// AtMost is the target of what should be small, AtLeast of what should be big.
func AtMost(limit float64) *Target { return &Target{Limit: limit} }

// AtLeast is the target of what should be big.
func AtLeast(limit float64) *Target { return &Target{Limit: limit, AtLeast: true} }

// Met reports whether v holds t.
func (t Target) Met(v float64) bool {
	if t.AtLeast {
		return v >= t.Limit
	}
	return v <= t.Limit
}

func (t Target) String() string {
	if t.AtLeast {
		return ">= " + number(t.Limit)
	}
	return "<= " + number(t.Limit)
}

// Report collects figures in the order in which they are to be read.
type Report struct {
	section string
	figures []*Figure
	notes   []string
}

// Section begins a part of the table.
func (r *Report) Section(title string) { r.section = title }

// Note adds a line below the table.
func (r *Report) Note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// Add adds a figure and returns it.
func (r *Report) Add(name string, value float64, unit string) *Figure {
	f := &Figure{Name: name, Value: value, Unit: unit, Section: r.section}
	r.figures = append(r.figures, f)
	return f
}

// Against puts the peer's figure beside it.
func (f *Figure) Against(who string, value float64) *Figure {
	f.PeerName, f.Peer = who, &value
	if value != 0 {
		ratio := f.Value / value
		f.Ratio = &ratio
	}
	return f
}

// Should sets the target.
func (f *Figure) Should(t *Target) *Figure {
	f.Target = t
	return f
}

// Missed counts the targets that do not hold.
func (r *Report) Missed() (missed, of int) {
	for _, f := range r.figures {
		if f.Target != nil {
			of++
			if !f.Target.Met(f.Value) {
				missed++
			}
		}
	}
	return missed, of
}

// row is the layout of the table: figure, value, unit, peer, ratio, target, verdict.
const row = "%-45s %9s %-9s  %-20s %7s  %-9s %s\n"

// WriteTable writes the table.
func (r *Report) WriteTable(w io.Writer) error {
	var t strings.Builder
	fmt.Fprintf(&t, row, "", "value", "", "peer", "ratio", "target", "")
	section := ""
	for _, f := range r.figures {
		if f.Section != section {
			section = f.Section
			fmt.Fprintf(&t, "\n%s\n", section)
		}
		fmt.Fprintf(&t, row, "  "+f.Name, number(f.Value), f.Unit, f.peer(), f.ratio(), f.target(), f.verdict())
	}
	if missed, of := r.Missed(); of > 0 {
		fmt.Fprintf(&t, "\n%d of %d targets met.\n", of-missed, of)
	}
	for _, n := range r.notes {
		fmt.Fprintf(&t, "- %s\n", n)
	}
	var lines strings.Builder
	for line := range strings.Lines(t.String()) {
		lines.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, lines.String())
	return err
}

func (f *Figure) peer() string {
	if f.Peer == nil {
		return ""
	}
	return f.PeerName + " " + number(*f.Peer)
}

func (f *Figure) ratio() string {
	if f.Ratio == nil {
		return ""
	}
	return number(*f.Ratio) + "x"
}

func (f *Figure) target() string {
	if f.Target == nil {
		return ""
	}
	return f.Target.String()
}

func (f *Figure) verdict() string {
	switch {
	case f.Target == nil:
		return ""
	case f.Target.Met(f.Value):
		return "pass"
	}
	return "MISS"
}

// number prints three significant digits, and no exponent.
func number(v float64) string {
	digits := 0
	switch a := max(v, -v); {
	case a == 0:
	case a < 1:
		digits = 3
	case a < 10:
		digits = 2
	case a < 100:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// WriteJSON writes the list to a file, whose folder it makes.
func (r *Report) WriteJSON(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r.figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
