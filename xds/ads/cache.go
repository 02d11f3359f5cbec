package ads

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// cache interns entries by Key. Entries with holders stay; the others are kept
// in an LRU until there are too many or they are out of date.
type cache struct {
	source Source
	index  *index

	mu      sync.Mutex // guards:
	entries map[Key]*entry
	unheld  *simplelru.LRU[Key, *entry]
	evicted []*entry // by the LRU, during the present call
}

func newCache(source Source, ix *index, size int) *cache {
	c := &cache{source: source, index: ix, entries: make(map[Key]*entry)}
	// The only error of NewLRU is a size that is not positive.
	c.unheld, _ = simplelru.NewLRU(max(size, 1), func(k Key, e *entry) {
		if e.pins == 0 {
			delete(c.entries, k)
			c.evicted = append(c.evicted, e)
		}
	})
	return c
}

// acquire returns the entry of k, for a holder to be. release must follow.
func (c *cache) acquire(k Key) (e *entry, hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e = c.entries[k]
	if e == nil {
		e = &entry{key: k, sticky: c.source.Sticky(k)}
		c.entries[k] = e
	} else if e.pins == 0 {
		e.pins = 1 // before Remove, whose callback drops what nobody holds
		c.unheld.Remove(k)
		return e, true
	}
	e.pins++
	return e, e.pins > 1
}

// peek returns the entry of k if there is one.
func (c *cache) peek(k Key) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[k]
}

// release ends one acquire of each of list.
func (c *cache) release(list ...*entry) {
	c.mu.Lock()
	for _, e := range list {
		if e.pins--; e.pins == 0 {
			c.unheld.Add(e.key, e)
		}
	}
	gone := c.takeEvicted()
	c.mu.Unlock()
	c.index.drop(gone)
}

// stale sorts out what a change found: what nobody holds is dropped, the rest
// is returned, to be built anew.
func (c *cache) stale(list []*entry) []*entry {
	held := list[:0]
	c.mu.Lock()
	for _, e := range list {
		switch {
		case e.pins > 0:
			held = append(held, e)
		case c.entries[e.key] == e:
			c.unheld.Remove(e.key)
		}
	}
	gone := c.takeEvicted()
	c.mu.Unlock()
	c.index.drop(gone)
	return held
}

func (c *cache) takeEvicted() []*entry {
	gone := c.evicted
	c.evicted = nil
	return gone
}

// sizes returns how many entries are held and how many are only cached.
func (c *cache) sizes() (held, unheld int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries) - c.unheld.Len(), c.unheld.Len()
}
