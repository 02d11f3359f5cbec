package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reviewCacheTTL is how long the API server's word on a token is believed.
const reviewCacheTTL = time.Minute

// What a pod-bound token adds to the user that it authenticates (KEP-1205).
const (
	extraPodName = "authentication.kubernetes.io/pod-name"
	extraPodUID  = "authentication.kubernetes.io/pod-uid"
)

// Reviewer is the one method of client-go's TokenReviewInterface that is needed.
type Reviewer interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, opts metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// ReviewConfig says how tokens are reviewed.
type ReviewConfig struct {
	Reviewer Reviewer
	// Audience that the token must be for; DefaultAudience if "".
	Audience string
	// CacheSize is how many good tokens are remembered; DefaultCacheSize if 0.
	CacheSize int
}

// Review authenticates tokens by asking the API server: for clusters whose keys
// cannot be read.
type Review struct {
	reviewer Reviewer
	audience string
	cache    *cache
}

// NewReview returns the authenticator that asks c.Reviewer.
func NewReview(c ReviewConfig) (*Review, error) {
	if c.Reviewer == nil {
		return nil, errors.New("token review: a client of the API server is needed")
	}
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	cache, err := newCache(c.CacheSize, reviewCacheTTL, 0)
	if err != nil {
		return nil, err
	}
	return &Review{reviewer: c.Reviewer, audience: c.Audience, cache: cache}, nil
}

// Authenticate asks the API server about a token that it has not asked about just
// now. What is not a JWT at all is refused without asking.
func (r *Review) Authenticate(ctx context.Context, token string) (Caller, error) {
	if err := checkShape(token); err != nil {
		return Caller{}, err
	}
	now := time.Now()
	key := sha256.Sum256([]byte(token))
	if caller, ok := r.cache.get(key, now); ok {
		return caller, nil
	}
	review, err := r.reviewer.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{r.audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		if strings.Contains(err.Error(), token) {
			err = errors.New("the error is withheld, because it quotes the token")
		}
		return Caller{}, &Error{Reason: Unavailable, Detail: "TokenReview", Err: err}
	}
	caller, err := r.read(&review.Status, token)
	if err != nil {
		return Caller{}, err
	}
	r.cache.add(key, caller, now)
	return caller, nil
}

// read makes a Caller of what the API server said.
func (r *Review) read(s *authenticationv1.TokenReviewStatus, token string) (Caller, error) {
	if !s.Authenticated {
		detail := "the API server gave no reason"
		if s.Error != "" && !strings.Contains(s.Error, token) {
			detail = "the API server says " + shortened(s.Error)
		}
		return Caller{}, refuse(Rejected, "%s", detail)
	}
	// An authenticator that knows nothing of audiences leaves them out; its word does
	// not count (TokenReviewStatus.audiences).
	if !slices.Contains(s.Audiences, r.audience) {
		return Caller{}, refuse(WrongAudience, "it is for %s, expected %q", shortened(strings.Join(s.Audiences, ", ")), r.audience)
	}
	rest, ok := strings.CutPrefix(s.User.Username, "system:serviceaccount:")
	namespace, account, both := strings.Cut(rest, ":")
	if !ok || !both || namespace == "" || account == "" || strings.Contains(account, ":") {
		return Caller{}, refuse(WrongSubject, "its user is %s, not a service account", shortened(s.User.Username))
	}
	pod, uid := s.User.Extra[extraPodName], s.User.Extra[extraPodUID]
	if len(pod) != 1 || len(uid) != 1 || pod[0] == "" || uid[0] == "" {
		return Caller{}, refuse(NotBound, "it names no pod")
	}
	return Caller{
		Namespace: namespace, ServiceAccount: account,
		PodName: pod[0], PodUID: uid[0],
		Expiry: expiryOf(token),
	}, nil
}

// expiryOf reads the exp claim of a token that the API server has just accepted as
// it is: the review does not tell. Without one, the token counts for as long as the
// review is believed.
func expiryOf(token string) time.Time {
	var c Claims
	parts := strings.Split(token, ".")
	if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
		if json.Unmarshal(payload, &c) == nil && c.Expiry != nil {
			return c.Expiry.Time()
		}
	}
	return time.Now().Add(reviewCacheTTL)
}
