package certs

import (
	"context"
	"log/slog"
	"time"

	"github.com/fairlead/fairlead/certs/internal/files"
)

// Run reloads the files of the CA when they change, until ctx ends. The chain, the
// key and the roots are taken together or not at all: files that do not fit
// together, or cannot be read, are reported once and the last good ones kept. What
// they hold is used step by step: see Promote and Retire.
// Run of an authority without files waits for ctx.
func (a *Authority) Run(ctx context.Context) error {
	if a.files == (Files{}) {
		<-ctx.Done()
		return nil
	}
	return files.Watch(ctx, a.files.paths(), a.Reload)
}

// Reload reads the files of the CA again now. It does nothing if they are as they
// were. An authority without files has nothing to reload.
func (a *Authority) Reload() {
	if a.files == (Files{}) {
		return
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	m, sum, err := a.files.read()
	if err == nil && sum == a.loaded {
		if a.reloadErr != nil {
			a.log.Info("files of the CA are again what they were")
		}
		a.reloadErr = nil
		return
	}
	var s *issuer
	if err == nil {
		s, err = newIssuer(m, a.trustDomain, time.Now())
	}
	if err != nil {
		if a.reloadErr == nil || a.reloadErr.Error() != err.Error() {
			a.log.Error("files of the CA changed and cannot be used, the last good ones stay", slog.Any("error", err))
		}
		a.reloadErr = err
		return
	}
	a.loaded, a.reloadErr = sum, nil
	a.enter(a.state.Load().reloaded(s, time.Now(), a.ttl))
	a.log.Info("files of the CA reloaded", slog.String("key", s.keyID), slog.Any("bundle", a.Bundle().String()))
}

// Err says why the files of the CA, as they are now, could not be loaded; nil if
// they are the ones in use.
func (a *Authority) Err() error {
	a.reload.Lock()
	defer a.reload.Unlock()
	return a.reloadErr
}
