package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	var r Report
	r.Section("one thing")
	r.Add("fast_ms", 12.34, "ms").Against("gcp", 24.68).Should(AtMost(20))
	r.Add("overhead_ratio", 2.5, "ratio").Should(AtLeast(3))
	r.Section("another")
	r.Add("count", 0, "things").Against("gcp", 0)
	r.Note("load %d", 1)

	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	wantTable := `                                                  value            peer                   ratio  target

one thing
  fast_ms                                          12.3 ms         gcp 24.7              0.500x  <= 20.0   pass
  overhead_ratio                                   2.50 ratio                                    >= 3.00   MISS

another
  count                                               0 things     gcp 0

1 of 2 targets met.
- load 1
`
	if got := table.String(); got != wantTable {
		t.Errorf("table:\n%s\nwant:\n%s", got, wantTable)
	}

	file := filepath.Join(t.TempDir(), "build", "bench.json")
	if err := r.WriteJSON(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantJSON := `[
  {
    "name": "fast_ms",
    "value": 12.34,
    "unit": "ms",
    "peer": 24.68,
    "ratio": 0.5
  },
  {
    "name": "overhead_ratio",
    "value": 2.5,
    "unit": "ratio",
    "peer": null,
    "ratio": null
  },
  {
    "name": "count",
    "value": 0,
    "unit": "things",
    "peer": 0,
    "ratio": null
  }
]
`
	if got := string(text); got != wantJSON {
		t.Errorf("list:\n%s\nwant:\n%s", got, wantJSON)
	}
}
