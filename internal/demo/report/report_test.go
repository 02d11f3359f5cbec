package report

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is moved by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// play is a demonstration in small: a step that is good, and one that is not.
func play(r Reporter, c *clock) {
	r.Step("1  Retries")
	r.Progress("300 calls")
	c.advance(1500 * time.Millisecond)
	r.Fact("no rule", "100 of 300 fail")
	r.Progress("300 calls more")
	r.Fact("with retries", "0 of 300")
	r.End("")
	r.Step("2  Outage")
	c.advance(250 * time.Millisecond)
	r.Fact("kill -9", "204 requests")
	r.End("1 request failed")
	r.Close()
}

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	c := &clock{}
	play(NewPlain(&out, c.Now), c)
	want := `1  Retries
  no rule                  100 of 300 fail
  with retries             0 of 300
  ok, 1.5 s

2  Outage
  kill -9                  204 requests
  FAILED: 1 request failed, 0.2 s

`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The screen ends up with the steps and their facts, and without any progress,
// whatever was drawn in between.
func TestTerminalEndsWithWhatWasMeasured(t *testing.T) {
	var out bytes.Buffer
	c := &clock{}
	r := newTerminal(&out, func() int { return 60 }, true, c.Now)
	close(r.ended) // nobody runs
	play(ticking{r}, c)
	want := `✓ 1  Retries                                           1.5 s
  no rule                  100 of 300 fail
  with retries             0 of 300

✗ 2  Outage                                            0.2 s
  kill -9                  204 requests
  failed                   1 request failed


`
	if diff := cmp.Diff(want, screen(t, out.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// ticking draws a frame before each thing that is told.
type ticking struct{ *Terminal }

func (t ticking) Fact(label, text string) { t.tick(); t.Terminal.Fact(label, text); t.tick() }
func (t ticking) End(problem string)      { t.tick(); t.Terminal.End(problem); t.tick() }

func TestTerminalShowsProgress(t *testing.T) {
	var out bytes.Buffer
	c := &clock{}
	r := newTerminal(&out, func() int { return 30 }, false, c.Now)
	r.Step("a title that is far too long for the screen")
	r.Fact("label", "text that is too long")
	r.Progress("v1 " + Bar(0.9, 10) + " v2")
	r.tick()
	want := `⠙ a title that is far …  0.0 s
  label                    te…
  v1 █████████░ v2
`
	if diff := cmp.Diff(want, screen(t, out.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for line := range strings.Lines(screen(t, out.String())) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 30 {
			t.Errorf("%q takes %d cells of 30", line, n)
		}
	}
	if strings.Contains(out.String(), "\x1b[3") {
		t.Errorf("colours without being asked: %q", out.String())
	}
}

// screen is what a terminal shows of text with the escape codes that are in use here.
func screen(t *testing.T, text string) string {
	t.Helper()
	var lines [][]rune
	row, column := 0, 0
	escape := regexp.MustCompile(`^\x1b\[(\??\d*)([A-Za-z])`)
	for len(text) > 0 {
		for len(lines) <= row {
			lines = append(lines, nil)
		}
		if m := escape.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			switch m[2] {
			case "A":
				n, _ := strconv.Atoi(m[1])
				row -= n
			case "K":
				lines[row] = lines[row][:min(column, len(lines[row]))]
			case "J":
				lines = lines[:row]
			case "m", "h", "l":
			default:
				t.Fatalf("unknown escape code %q", m[0])
			}
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			column = 0
		case '\n':
			row++
		default:
			lines[row] = append(lines[row][:min(column, len(lines[row]))], append([]rune{r}, lines[row][min(column+1, len(lines[row])):]...)...)
			column++
		}
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return b.String()
}

func summary() *Summary {
	return &Summary{OK: false, Seconds: 29.4, Rows: []Row{
		{Step: "retries", What: "no rule", Requests: 300, Failures: 100, P50: Millis(700 * time.Microsecond), P99: Millis(2 * time.Millisecond), Note: "as the app does"},
		{Step: "retries", What: "with retries", Requests: 300, P50: Millis(2 * time.Millisecond), P99: Millis(16500 * time.Microsecond)},
		{Step: "outage", What: "control plane gone", Requests: 204, Failures: 1, P50: Millis(2 * time.Millisecond), P99: Millis(2010 * time.Millisecond), Problem: "1 of 204 requests failed"},
	}}
}

func TestTable(t *testing.T) {
	want := `                     requests  failures        p50        p99
retries
  no rule                 300       100     0.7 ms     2.0 ms  as the app does
  with retries            300         0     2.0 ms    16.5 ms
outage
  control plane gone      204         1     2.0 ms    2010 ms

FAILED outage, control plane gone: 1 of 204 requests failed
804 requests in 29 s: not as promised
`
	var out bytes.Buffer
	if err := summary().WriteTable(&out, NewStyle(false), 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	out.Reset()
	if err := summary().WriteTable(&out, NewStyle(false), 70); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "as the app does") {
		t.Errorf("a note that does not fit is shown:\n%s", out.String())
	}
}

func TestSummaryAsJSON(t *testing.T) {
	s := summary()
	s.Rows = s.Rows[2:]
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ok":false,"seconds":29.4,"rows":[{"step":"outage","what":"control plane gone","requests":204,"failures":1,` +
		`"p50Milliseconds":2,"p99Milliseconds":2010,"problem":"1 of 204 requests failed"}]}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
