package certs

import (
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// state is what an authority does now. Immutable.
//
// A change of the CA goes through three states, so that at no time somebody shows
// a certificate that another cannot verify:
//
//	files change   trust: old and new roots   old key signs
//	Promote        trust: old and new roots   new key signs
//	Retire         trust: new roots           new key signs
//
// A change of the roots alone skips the second.
type state struct {
	// signer signs leaves and the certificate of the control plane's port.
	signer *issuer
	// latest is what the files hold: signer, unless a Promote is due.
	latest *issuer
	// trust are the roots of latest, and those that no Retire has dropped yet.
	trust Bundle
	// earlierEnd is when the last leaf ends that was signed by an earlier signer, or
	// under a root that the files no longer hold; zero if there can be none.
	earlierEnd time.Time
}

// stage names what Subscribe tells about, besides trust.
func (s *state) stage() string { return s.signer.id + s.latest.id + s.latest.roots.ID() }

// reloaded is the state after the files have changed to s.
func (st *state) reloaded(s *issuer, now time.Time, ttl time.Duration) *state {
	next := &state{
		signer: st.signer, latest: s, earlierEnd: st.earlierEnd,
		trust: NewBundle(append(st.trust.Certificates(), s.roots.roots...)...),
	}
	if !next.trust.Equal(s.roots) { // a root goes
		next.earlierEnd = now.Add(ttl)
	}
	switch {
	case st.signer.id == s.id:
		next.signer = s
	case !now.Before(st.signer.notAfter): // it can sign nothing any more
		return next.promoted(now, ttl)
	}
	return next
}

func (st *state) promoted(now time.Time, ttl time.Duration) *state {
	return &state{signer: st.latest, latest: st.latest, trust: st.trust, earlierEnd: now.Add(ttl)}
}

// Promotion says whether the files hold another signer than the one that signs
// now, and when the present one ends: Promote must be called before that.
func (a *Authority) Promotion() (end time.Time, due bool) {
	s := a.state.Load()
	return s.signer.notAfter, s.signer != s.latest
}

// Promote has the signer of the files sign from now on. The caller vouches that
// everybody who verifies certificates of the mesh trusts acked, a Bundle that this
// authority had: sidecars, and who connects to the control plane's port. It reports
// false, and does nothing, if none is due or the files have changed again and acked
// lacks a root of theirs.
func (a *Authority) Promote(acked Bundle) bool {
	a.reload.Lock()
	defer a.reload.Unlock()
	s := a.state.Load()
	if s.signer == s.latest {
		return false
	}
	for _, root := range s.latest.roots.roots {
		if !acked.Contains(root) {
			return false
		}
	}
	a.enter(s.promoted(time.Now(), a.ttl))
	return true
}

// Retirement says whether the Bundle holds roots that the files do not, and when
// the last leaf ends that may need them: then Retire is due even if somebody has not
// replaced his.
func (a *Authority) Retirement() (end time.Time, due bool) {
	s := a.state.Load()
	return s.earlierEnd, s.signer == s.latest && !s.trust.Equal(s.latest.roots)
}

// Retire drops the roots from the Bundle that the files do not hold. The caller
// vouches that nobody shows a leaf any more that was not SignedNow, or that those
// have ended. It reports false, and does nothing, if there is no such root, or if a
// Promote is due first.
func (a *Authority) Retire() bool {
	a.reload.Lock()
	defer a.reload.Unlock()
	s := a.state.Load()
	if s.signer != s.latest || s.trust.Equal(s.latest.roots) {
		return false
	}
	a.enter(&state{signer: s.signer, latest: s.latest, trust: s.latest.roots})
	return true
}

// SignedNow reports that the leaf of this version was issued for id by the signer
// that signs now, however long ago.
func (a *Authority) SignedNow(version string, id mesh.Identity) bool {
	_, ok := parseVersion(version, a.state.Load().signer.versionKey, id)
	return ok
}

// enter makes s the state; reload is held, or nobody knows the authority yet.
func (a *Authority) enter(s *state) {
	a.state.Store(s)
	a.roots.publish(s.trust, s.stage())
}
