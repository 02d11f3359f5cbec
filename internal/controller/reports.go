package controller

import (
	"log/slog"
	"sync"

	"github.com/fairlead/fairlead/mesh/manifests"
)

// reports remembers what was last wrong with the manifests, and logs each
// problem once.
type reports struct {
	log *slog.Logger

	mu     sync.Mutex // guards:
	last   manifests.Report
	logged map[string]bool
}

func newReports(log *slog.Logger) *reports {
	return &reports{log: log, logged: make(map[string]bool)}
}

func (r *reports) add(report manifests.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = report
	now := make(map[string]bool, len(report.Problems))
	for _, p := range report.Problems {
		text := p.Error()
		now[text] = true
		if !r.logged[text] {
			r.log.Error("manifest not taken; what it said before stays", "problem", text)
		}
	}
	for text := range r.logged {
		if !now[text] {
			r.log.Info("manifest problem is gone", "problem", text)
		}
	}
	r.logged = now
}

// problems are those that are there now.
func (r *reports) problems() []manifests.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.Problems
}
