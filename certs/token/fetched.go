package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	fetchTimeout = 10 * time.Second
	maxJWKS      = 1 << 20
)

// FetchedKeys is a KeySource that fetches a JWKS when a key is asked for that it
// does not know, and now and then to learn of withdrawn keys. Fetches are rate
// limited, so that made-up key names cost the issuer nothing, and shared by all
// who wait. While the issuer cannot be reached the last good set is used.
type FetchedKeys struct {
	// Set once.
	name  string
	fetch func(context.Context) ([]byte, error)
	// Between two fetches at least this; a set is renewed when it is older than age.
	between, age time.Duration
	log          *slog.Logger

	mu sync.Mutex
	// Under mu.
	set      *KeySet   // nil until the first fetch worked
	fetched  time.Time // when set was fetched
	tried    time.Time // when the last fetch ended
	err      error     // of the last fetch
	underway chan struct{}
}

// Key returns the key of that id, after at most one fetch.
func (f *FetchedKeys) Key(ctx context.Context, id string) (Key, error) {
	f.mu.Lock()
	key, err := f.look(id)
	known := err == nil
	if known && time.Since(f.fetched) < f.age {
		f.mu.Unlock()
		return key, nil
	}
	wait := f.refresh(ctx)
	f.mu.Unlock()
	if known { // aged: the fetch that was just started is for those who come later
		return key, nil
	}
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return Key{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key, err = f.look(id)
	if err != nil && f.err != nil { // perhaps the issuer knows it
		return Key{}, f.err
	}
	return key, err
}

// look looks in the set; mu is held.
func (f *FetchedKeys) look(id string) (Key, error) {
	if f.set == nil {
		return Key{}, ErrUnknownKey
	}
	return f.set.Key(context.Background(), id)
}

// refresh starts a fetch unless one is under way or one ended just now. It returns
// what is closed when the fetch under way has ended, nil if there is none. mu is
// held.
func (f *FetchedKeys) refresh(ctx context.Context) <-chan struct{} {
	if f.underway != nil {
		return f.underway
	}
	if !f.tried.IsZero() && time.Since(f.tried) < f.between {
		return nil
	}
	done := make(chan struct{})
	f.underway = done
	go func() {
		// Others wait for it too: it must not end with the first one's request.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		set, err := f.load(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.tried, f.err, f.underway = time.Now(), err, nil
		if err == nil {
			f.set, f.fetched = set, f.tried
		} else {
			f.log.Error("keys of the token issuer could not be read, the last good ones stay", slog.Any("error", err))
		}
		close(done)
	}()
	return done
}

func (f *FetchedKeys) load(ctx context.Context) (*KeySet, error) {
	body, err := f.fetch(ctx)
	if err != nil {
		return nil, err
	}
	if len(body) > maxJWKS {
		return nil, fmt.Errorf("%s: larger than %d bytes", f.name, maxJWKS)
	}
	return ParseKeySet(f.name, body)
}

// Check fetches the keys if there are none yet, so that a wrong address is found at
// the start and not by the first proxy.
func (f *FetchedKeys) Check(ctx context.Context) error {
	_, err := f.Key(ctx, "")
	if errors.Is(err, ErrUnknownKey) {
		return nil // no key has an empty name
	}
	return err
}
