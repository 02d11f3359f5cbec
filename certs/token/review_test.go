package token

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiServer answers every review in the same way.
type apiServer struct {
	status authenticationv1.TokenReviewStatus
	err    error
	asked  int
}

func (a *apiServer) Create(_ context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	a.asked++
	if a.err != nil {
		return nil, a.err
	}
	if len(r.Spec.Audiences) != 1 || r.Spec.Audiences[0] != DefaultAudience {
		return nil, errors.New("no audience was asked for")
	}
	out := r.DeepCopy()
	out.Status = a.status
	return out, nil
}

func reviewed() authenticationv1.TokenReviewStatus {
	return authenticationv1.TokenReviewStatus{
		Authenticated: true,
		Audiences:     []string{DefaultAudience},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:shop:web",
			UID:      "sa",
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"},
			Extra: map[string]authenticationv1.ExtraValue{
				extraPodName: {"web-1"},
				extraPodUID:  {"uid-1"},
			},
		},
	}
}

func newTestReview(t *testing.T, a *apiServer) *Review {
	t.Helper()
	r, err := NewReview(ReviewConfig{Reviewer: a})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReview(t *testing.T) {
	token := newSigner(t, "k1").sign(claims())
	with := func(change func(*authenticationv1.TokenReviewStatus)) *apiServer {
		s := reviewed()
		change(&s)
		return &apiServer{status: s}
	}
	for _, c := range []struct {
		why    string
		server *apiServer
		reason Reason
	}{
		{"a bound token", &apiServer{status: reviewed()}, ""},
		{"not authenticated", with(func(s *authenticationv1.TokenReviewStatus) { s.Authenticated, s.Error = false, "token has expired" }), Rejected},
		{"not authenticated, without a word", with(func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false }), Rejected},
		{"the reason quotes the token", with(func(s *authenticationv1.TokenReviewStatus) { s.Authenticated, s.Error = false, "bad token "+token }), Rejected},
		{"the error quotes the token", &apiServer{err: errors.New("cannot post " + token)}, Unavailable},
		{"the API server is down", &apiServer{err: errors.New("connection refused")}, Unavailable},
		{"an authenticator without audiences", with(func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil }), WrongAudience},
		{"another audience", with(func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"vault"} }), WrongAudience},
		{"a user", with(func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "admin" }), WrongSubject},
		{"an account without a name", with(func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:shop:" }), WrongSubject},
		{"an account with too many parts", with(func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:serviceaccount:a:b:c" }), WrongSubject},
		{"no pod", with(func(s *authenticationv1.TokenReviewStatus) { s.User.Extra = nil }), NotBound},
		{"no UID", with(func(s *authenticationv1.TokenReviewStatus) { s.User.Extra[extraPodUID] = nil }), NotBound},
		{"two pods", with(func(s *authenticationv1.TokenReviewStatus) {
			s.User.Extra[extraPodUID] = authenticationv1.ExtraValue{"a", "b"}
		}), NotBound},
	} {
		got, err := newTestReview(t, c.server).Authenticate(t.Context(), token)
		checkRefusal(t, err, token, c.reason)
		got.Expiry = time.Time{}
		if c.reason == "" && got != want {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	server := &apiServer{status: reviewed()}
	r := newTestReview(t, server)
	for token, reason := range map[string]Reason{"": Missing, "opaque": Malformed, strings.Repeat("a", maxTokenBytes+1): Malformed} {
		_, err := r.Authenticate(t.Context(), token)
		checkRefusal(t, err, token, reason)
	}
	if server.asked != 0 {
		t.Error("the API server was asked about what is no token at all")
	}
}

func TestReviewIsBelievedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &apiServer{status: reviewed()}
		r := newTestReview(t, server)
		token := newSigner(t, "k1").sign(claims())
		auth := func(asked int) {
			t.Helper()
			c, err := r.Authenticate(t.Context(), token)
			if err != nil || c.Expiry.IsZero() {
				t.Fatal(c, err)
			}
			if server.asked != asked {
				t.Errorf("asked %d times, want %d", server.asked, asked)
			}
		}
		auth(1)
		end := claims()["exp"].(int64)
		if c, _ := r.Authenticate(t.Context(), token); c.Expiry.Unix() != end {
			t.Errorf("expiry %v, want that of the token", c.Expiry)
		}
		time.Sleep(reviewCacheTTL)
		auth(1)
		time.Sleep(time.Second)
		auth(2)
	})
}

func TestLivePods(t *testing.T) {
	token := newSigner(t, "k1").sign(claims())
	down := errors.New("connection refused")
	for _, c := range []struct {
		why    string
		known  bool
		lookup PodLookup
		reason Reason
	}{
		{"in the model", true, nil, ""},
		{"not in the model, nobody to ask", false, nil, DeadPod},
		{"not in the model yet", false, func(context.Context, Caller) (bool, error) { return true, nil }, ""},
		{"gone", false, func(context.Context, Caller) (bool, error) { return false, nil }, DeadPod},
		{"cannot be found out", false, func(context.Context, Caller) (bool, error) { return false, down }, Unavailable},
		{"in the model, nobody is asked", true, func(context.Context, Caller) (bool, error) { return false, down }, ""},
	} {
		var uid string
		l := NewLivePods(newTestReview(t, &apiServer{status: reviewed()}), func(u string) bool { uid = u; return c.known }, c.lookup)
		_, err := l.Authenticate(t.Context(), token)
		checkRefusal(t, err, token, c.reason)
		if uid != "uid-1" {
			t.Errorf("%s: looked for %q", c.why, uid)
		}
	}
	l := NewLivePods(newTestReview(t, &apiServer{status: authenticationv1.TokenReviewStatus{}}), func(string) bool { return true }, nil)
	_, err := l.Authenticate(t.Context(), token)
	checkRefusal(t, err, token, Rejected)
}

// A pod's look-up is not repeated for each of its connections.
func TestLivePodsAskOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		l := NewLivePods(newTestJWT(t, keySet(t, newSigner(t, "k1"))), func(string) bool { return false }, func(context.Context, Caller) (bool, error) {
			asked++
			time.Sleep(time.Second)
			return true, nil
		})
		done := make(chan error)
		for range 20 {
			go func() {
				exists, err := l.ask(t.Context(), want)
				if err == nil && !exists {
					err = errors.New("not there")
				}
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}
