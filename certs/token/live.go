package token

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

const podLookupTimeout = 5 * time.Second

// PodLookup finds out at the source whether a caller's pod exists: a live GET that
// compares the UID. Its error means that it could not be found out.
type PodLookup func(ctx context.Context, c Caller) (exists bool, err error)

// LivePods wraps an authenticator so that only callers whose pod exists pass. It
// asks on every call: a token that is good for another hour is worth nothing once
// its pod is gone.
type LivePods struct {
	auth   Authenticator
	known  func(uid string) bool
	lookup PodLookup
	flight singleflight.Group // one look-up per pod at a time
}

// NewLivePods returns auth for live pods. known says whether the model has a pod of
// that UID; it is called for every stream and must not block. A pod may connect
// before the model has heard of it, so lookup, if not nil, is asked once before such
// a pod is refused.
func NewLivePods(auth Authenticator, known func(uid string) bool, lookup PodLookup) *LivePods {
	return &LivePods{auth: auth, known: known, lookup: lookup}
}

// Authenticate authenticates the token and then looks for the pod.
func (l *LivePods) Authenticate(ctx context.Context, token string) (Caller, error) {
	c, err := l.auth.Authenticate(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	if l.known(c.PodUID) {
		return c, nil
	}
	if l.lookup != nil {
		exists, err := l.ask(ctx, c)
		if err != nil {
			return Caller{}, &Error{Reason: Unavailable, Detail: "looking for pod " + c.Namespace + "/" + c.PodName, Err: err}
		}
		if exists {
			return c, nil
		}
	}
	return Caller{}, refuse(DeadPod, "there is no pod %s/%s with UID %s", c.Namespace, c.PodName, c.PodUID)
}

// ask asks once for all who come with the same pod meanwhile.
func (l *LivePods) ask(ctx context.Context, c Caller) (bool, error) {
	result := l.flight.DoChan(c.Namespace+"/"+c.PodName+"/"+c.PodUID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), podLookupTimeout)
		defer cancel()
		return l.lookup(ctx, c)
	})
	select {
	case r := <-result:
		exists, _ := r.Val.(bool)
		return exists, r.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
