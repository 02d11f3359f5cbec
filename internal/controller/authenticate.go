package controller

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/certs/token"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/xds/ads"
)

// authenticator turns a stream's token into the client behind it.
type authenticator struct {
	tokens token.Authenticator
	store  *mesh.Store
	// client describes the pod to the translation.
	client func(*mesh.Pod) *ads.Client
}

// authenticate is ads.Config.Authenticate.
func (a *authenticator) authenticate(ctx context.Context, bearer string) (*ads.Client, error) {
	caller, err := a.tokens.Authenticate(ctx, bearer)
	if err != nil {
		return nil, status.Error(code(err), err.Error())
	}
	pod := a.store.PodByUID(caller.PodUID)
	if pod == nil {
		return nil, status.Errorf(codes.PermissionDenied, "pod %s/%s (%s) is not known: it was deleted, or its manifest has not arrived yet",
			caller.Namespace, caller.PodName, caller.PodUID)
	}
	if pod.Name != (mesh.Name{Namespace: caller.Namespace, Name: caller.PodName}) || pod.ServiceAccount != caller.ServiceAccount {
		return nil, status.Errorf(codes.PermissionDenied, "the token is for pod %s/%s with service account %s, but the pod of that UID is %s with %s",
			caller.Namespace, caller.PodName, caller.ServiceAccount, pod.Name, pod.ServiceAccount)
	}
	return a.client(pod), nil
}

// refresh is ads.Config.Refresh.
func (a *authenticator) refresh(c *ads.Client) *ads.Client {
	pod := a.store.PodByUID(c.PodUID)
	if pod == nil {
		return nil
	}
	if now := a.client(pod); *now != *c {
		return now
	}
	return c
}

// code says whether coming again with the same token may help.
func code(err error) codes.Code {
	var refused *token.Error
	if errors.As(err, &refused) && refused.Reason == token.Unavailable {
		return codes.Unavailable
	}
	return codes.Unauthenticated
}
