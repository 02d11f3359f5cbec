package ads

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/fairlead/fairlead/mesh"
)

// scopes remembers what the replicas of each workload have asked for (sticky
// resources only), so that a new replica is given it as it connects. Bounded
// both ways, by use.
type scopes struct {
	perWorkload int

	mu        sync.Mutex // guards:
	workloads *simplelru.LRU[mesh.Workload, *simplelru.LRU[Ref, struct{}]]
}

func newScopes(workloads, names int) *scopes {
	// The only error of NewLRU is a size that is not positive.
	l, _ := simplelru.NewLRU[mesh.Workload, *simplelru.LRU[Ref, struct{}]](max(workloads, 1), nil)
	return &scopes{perWorkload: max(names, 1), workloads: l}
}

func (sc *scopes) learn(w mesh.Workload, r Ref) {
	if w == (mesh.Workload{}) {
		return
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.of(w).Add(r, struct{}{})
}

// learnOld learns r if it is not known and there is room.
func (sc *scopes) learnOld(w mesh.Workload, r Ref) {
	if w == (mesh.Workload{}) {
		return
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if set := sc.of(w); set.Len() < sc.perWorkload && !set.Contains(r) {
		set.Add(r, struct{}{})
	}
}

// of returns the set of a workload. Called under mu.
func (sc *scopes) of(w mesh.Workload) *simplelru.LRU[Ref, struct{}] {
	set, ok := sc.workloads.Get(w)
	if !ok {
		set, _ = simplelru.NewLRU[Ref, struct{}](sc.perWorkload, nil)
		sc.workloads.Add(w, set)
	}
	return set
}

// names returns what is known of a workload, the oldest first.
func (sc *scopes) names(w mesh.Workload, t Type) []string {
	if w == (mesh.Workload{}) {
		return nil
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	set, ok := sc.workloads.Get(w)
	if !ok {
		return nil
	}
	var list []string
	for _, r := range set.Keys() {
		if r.Type == t {
			list = append(list, r.Name)
		}
	}
	return list
}

// learn notes that the client's workload uses h.
func (s *stream) learn(h *held) {
	if h.e.sticky {
		s.srv.scopes.learn(s.client.Load().Workload, h.ref())
	}
}

// learnReported notes that the client says it has h from an earlier stream. That
// says nothing about when it was used: what is known keeps its place, and nothing
// is forgotten for it.
func (s *stream) learnReported(h *held) {
	s.srv.scopes.learnOld(s.client.Load().Workload, h.ref())
}
