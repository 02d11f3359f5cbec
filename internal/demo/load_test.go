package demo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// Every request that is sent counts, one that is under way at the end too.
func TestLoadCountsEveryRequest(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := served.Add(1); {
		case n%5 == 0:
			http.Error(w, "out of order", http.StatusServiceUnavailable)
		case n%7 == 0:
			fmt.Fprint(w, "no JSON")
		default:
			fmt.Fprint(w, `{"version": "v1", "pod": "catalog-v1-1"}`)
		}
	}))
	defer server.Close()
	l := startLoad(t.Context(), func() *http.Client { return &http.Client{Transport: &http.Transport{}} }, 500, server.URL)
	for served.Load() < 50 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	answers := l.stop()
	if int64(len(answers)) != served.Load() {
		t.Errorf("%d answers to %d requests", len(answers), served.Load())
	}
	failed := tally("", answers).Failures
	want := 0
	for n := range len(answers) {
		if (n+1)%5 == 0 || (n+1)%7 == 0 {
			want++
		}
	}
	if failed != want || share(answers, "v1") != 1 {
		t.Errorf("%d failures, want %d; share of v1 %v, want 1", failed, want, share(answers, "v1"))
	}
	if err := firstError(answers); !strings.Contains(err.Error(), "503") && !strings.Contains(err.Error(), "not the shop's") {
		t.Errorf("the first error is %v", err)
	}
}

func TestCallsAreAllMade(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"version": "v%d"}`, served.Add(1))
	}))
	defer server.Close()
	answers := calls(t.Context(), server.Client(), server.URL, 10, 3)
	seen := map[string]bool{}
	for _, a := range answers {
		seen[a.version] = true
	}
	if len(seen) != 10 || served.Load() != 10 {
		t.Errorf("%d requests served, answers of %v", served.Load(), seen)
	}
}
