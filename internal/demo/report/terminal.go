package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Terminal redraws the lines of the present step: a spinner and the seconds in its
// title, its facts, and at the bottom what is going on.
type Terminal struct {
	// set once
	out   io.Writer
	now   func() time.Time
	width func() int
	style Style
	stop  chan struct{}
	ended chan struct{}

	mu       sync.Mutex // guards:
	title    string     // "" between two steps
	facts    []fact
	progress string
	began    time.Time
	frame    int
	drawn    int // lines on the screen that will be drawn over
}

type fact struct{ label, text string }

// redraw is how often the screen is drawn anew.
const redraw = 100 * time.Millisecond

// NewTerminal returns a Terminal that draws on out, whose present width in cells
// width tells. It draws until Close.
func NewTerminal(out io.Writer, width func() int, colour bool) *Terminal {
	t := newTerminal(out, width, colour, time.Now)
	fmt.Fprint(out, "\x1b[?25l") // no cursor
	go t.run()
	return t
}

func newTerminal(out io.Writer, width func() int, colour bool, now func() time.Time) *Terminal {
	return &Terminal{
		out: out, now: now, width: width, style: NewStyle(colour),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (t *Terminal) run() {
	defer close(t.ended)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			t.tick()
		}
	}
}

func (t *Terminal) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frame++
	if t.title != "" {
		t.draw(t.spinner(), t.progress)
	}
}

func (t *Terminal) spinner() string {
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	return t.style.Cyan(string(frames[t.frame%len(frames)]))
}

// Step implements Reporter.
func (t *Terminal) Step(title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.title, t.facts, t.progress, t.began = title, nil, "", t.now()
	t.draw(t.spinner(), "")
}

// Progress implements Reporter. It is drawn with the next frame.
func (t *Terminal) Progress(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress = text
}

// Fact implements Reporter.
func (t *Terminal) Fact(label, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.facts = append(t.facts, fact{label, text})
	t.draw(t.spinner(), t.progress)
}

// End implements Reporter.
func (t *Terminal) End(problem string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark := t.style.Green("✓")
	if problem != "" {
		mark = t.style.Red("✗")
		t.facts = append(t.facts, fact{"failed", problem})
	}
	t.draw(mark, "")
	fmt.Fprint(t.out, "\r\n")
	t.title, t.drawn = "", 0
}

// Close implements Reporter.
func (t *Terminal) Close() {
	select {
	case <-t.stop:
		return
	default:
	}
	close(t.stop)
	<-t.ended
	fmt.Fprint(t.out, "\x1b[?25h")
}

// draw draws the step over what was drawn of it before; t.mu is held. No line is
// longer than the screen is wide, or a step would take more lines than are counted.
func (t *Terminal) draw(mark, progress string) {
	width := t.width()
	var b strings.Builder
	if t.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.drawn)
	}
	lines := 1 + len(t.facts)
	elapsed := seconds(t.now().Sub(t.began))
	title := fit(t.title, width-len(elapsed)-4)
	gap := max(min(width, pageWidth)-2-len([]rune(title))-len(elapsed), 1)
	fmt.Fprintf(&b, "\r%s %s%s%s\x1b[K\r\n", mark, t.style.Bold(title), strings.Repeat(" ", gap), t.style.Dim(elapsed))
	for _, f := range t.facts {
		label := fmt.Sprintf("  %-*s ", labelWidth, f.label)
		fmt.Fprintf(&b, "%s%s\x1b[K\r\n", t.style.Dim(label), fit(f.text, width-len([]rune(label))))
	}
	if progress != "" {
		lines++
		fmt.Fprintf(&b, "  %s\x1b[K\r\n", t.style.Dim(fit(progress, width-2)))
	}
	b.WriteString("\x1b[J") // a progress line that is gone
	t.drawn = lines
	_, _ = io.WriteString(t.out, b.String()) // a screen that is gone is nobody's loss
}
