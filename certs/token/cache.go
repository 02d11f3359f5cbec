package token

import (
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// DefaultCacheSize is how many verified tokens are remembered: 10,000 proxies, and
// the tokens that replace theirs.
const DefaultCacheSize = 16384

// cache remembers who verified tokens were made for, by the tokens' SHA-256: what
// it holds is of no use to a thief. Only good tokens are in it. A fixed number of
// entries, each for a bounded time.
type cache struct {
	lru *lru.Cache[[sha256.Size]byte, cached]
	// ttl bounds for how long a key that the issuer withdrew is still believed.
	ttl time.Duration
	// leeway is granted to a cached token as to a new one.
	leeway time.Duration
}

type cached struct {
	caller Caller
	until  time.Time
}

func newCache(size int, ttl, leeway time.Duration) (*cache, error) {
	if size == 0 {
		size = DefaultCacheSize
	}
	l, err := lru.New[[sha256.Size]byte, cached](size)
	if err != nil {
		return nil, fmt.Errorf("cache of tokens: size %d: %w", size, err)
	}
	return &cache{lru: l, ttl: ttl, leeway: leeway}, nil
}

func (c *cache) get(key [sha256.Size]byte, now time.Time) (Caller, bool) {
	e, ok := c.lru.Get(key)
	if !ok {
		return Caller{}, false
	}
	if now.After(e.until) {
		c.lru.Remove(key)
		return Caller{}, false
	}
	return e.caller, true
}

func (c *cache) add(key [sha256.Size]byte, caller Caller, now time.Time) {
	until := now.Add(c.ttl)
	if end := caller.Expiry.Add(c.leeway); end.Before(until) {
		until = end
	}
	c.lru.Add(key, cached{caller: caller, until: until})
}
