package ads

import (
	"slices"
	"sync"

	"github.com/fairlead/fairlead/mesh"
)

// index finds the entries that were built from a value of the mesh.
type index struct {
	mu      sync.Mutex // guards all:
	entries map[mesh.Key]map[*entry]struct{}
	builds  map[*build]struct{}
}

// build collects the changes that happen while a resource is being built: what
// it read may be older than they are.
type build struct {
	changed []mesh.Key
}

func newIndex() *index {
	return &index{entries: make(map[mesh.Key]map[*entry]struct{}), builds: make(map[*build]struct{})}
}

// begin is called before the first value is read.
func (ix *index) begin() *build {
	b := new(build)
	ix.mu.Lock()
	ix.builds[b] = struct{}{}
	ix.mu.Unlock()
	return b
}

// end records what e was built from. It reports whether any of that changed
// since begin, so that e has to be built again.
func (ix *index) end(b *build, e *entry, deps []mesh.Key) (stale bool) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	delete(ix.builds, b)
	if !e.dead && !slices.Equal(deps, e.deps) {
		ix.unlink(e)
		for _, k := range deps {
			m := ix.entries[k]
			if m == nil {
				m = make(map[*entry]struct{}, 1)
				ix.entries[k] = m
			}
			m[e] = struct{}{}
		}
		e.deps = deps
	}
	for _, k := range b.changed {
		if slices.Contains(deps, k) {
			return true
		}
	}
	return false
}

// changed returns the entries that were built from one of keys, each once.
func (ix *index) changed(keys []mesh.Key) []*entry {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for b := range ix.builds {
		b.changed = append(b.changed, keys...)
	}
	if len(keys) == 1 {
		m := ix.entries[keys[0]]
		list := make([]*entry, 0, len(m))
		for e := range m {
			list = append(list, e)
		}
		return list
	}
	seen := make(map[*entry]struct{})
	for _, k := range keys {
		for e := range ix.entries[k] {
			seen[e] = struct{}{}
		}
	}
	list := make([]*entry, 0, len(seen))
	for e := range seen {
		list = append(list, e)
	}
	return list
}

// drop forgets entries that were evicted.
func (ix *index) drop(list []*entry) {
	if len(list) == 0 {
		return
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for _, e := range list {
		ix.unlink(e)
		e.deps, e.dead = nil, true
	}
}

func (ix *index) unlink(e *entry) {
	for _, k := range e.deps {
		m := ix.entries[k]
		delete(m, e)
		if len(m) == 0 {
			delete(ix.entries, k)
		}
	}
}
