package token

import (
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Claims are those of a bound service-account token (KEP-1205), as the API server
// writes them. The local issuer writes the same.
type Claims struct {
	jwt.Claims
	Kubernetes Bound `json:"kubernetes.io"`
}

// Bound says what a token is bound to.
type Bound struct {
	Namespace      string `json:"namespace,omitempty"`
	Pod            *Ref   `json:"pod,omitempty"`
	ServiceAccount Ref    `json:"serviceaccount"`
}

// Ref names an object in the namespace of the token.
type Ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Subject is the sub claim for a service account.
func Subject(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}

// parseClaims reads a payload whose signature has been verified.
func parseClaims(payload []byte) (Claims, error) {
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Claims{}, refuse(Malformed, "its claims are not those of a service-account token")
	}
	return c, nil
}

// expected is what claims are held to.
type expected struct {
	issuers  []string
	audience string
	leeway   time.Duration
}

// check is the list of what must hold, in the order in which it is reported.
func (e expected) check(c *Claims, now time.Time) error {
	for _, check := range []func(*Claims, time.Time) error{
		e.issuer, e.time, e.aud, bound, subject,
	} {
		if err := check(c, now); err != nil {
			return err
		}
	}
	return nil
}

func (e expected) issuer(c *Claims, _ time.Time) error {
	for _, i := range e.issuers {
		if i == c.Issuer {
			return nil
		}
	}
	return refuse(WrongIssuer, "it was issued by %s, expected %q", shortened(c.Issuer), e.issuers)
}

func (e expected) time(c *Claims, now time.Time) error {
	switch {
	case c.Expiry == nil:
		return refuse(Malformed, "it never expires")
	case now.After(c.Expiry.Time().Add(e.leeway)):
		return refuse(Expired, "it ended at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	case c.NotBefore != nil && now.Before(c.NotBefore.Time().Add(-e.leeway)):
		return refuse(NotYetValid, "it is valid from %s", c.NotBefore.Time().UTC().Format(time.RFC3339))
	case c.IssuedAt != nil && now.Before(c.IssuedAt.Time().Add(-e.leeway)):
		return refuse(NotYetValid, "it was issued at %s", c.IssuedAt.Time().UTC().Format(time.RFC3339))
	}
	return nil
}

func (e expected) aud(c *Claims, _ time.Time) error {
	if c.Audience.Contains(e.audience) {
		return nil
	}
	return refuse(WrongAudience, "it is for %s, expected %q", shortened(strings.Join(c.Audience, ", ")), e.audience)
}

func bound(c *Claims, _ time.Time) error {
	k := &c.Kubernetes
	switch {
	case k.Namespace == "" || k.ServiceAccount.Name == "" || k.ServiceAccount.UID == "":
		return refuse(NotBound, "it names no service account")
	case k.Pod == nil || k.Pod.Name == "" || k.Pod.UID == "":
		return refuse(NotBound, "it names no pod")
	}
	return nil
}

// subject: the two places that name the account must agree, so that it does not
// matter which one somebody reads.
func subject(c *Claims, _ time.Time) error {
	if want := Subject(c.Kubernetes.Namespace, c.Kubernetes.ServiceAccount.Name); c.Subject != want {
		return refuse(WrongSubject, "its subject is %s, its claims say %s", shortened(c.Subject), shortened(want))
	}
	return nil
}

func (c *Claims) caller() Caller {
	return Caller{
		Namespace:      c.Kubernetes.Namespace,
		ServiceAccount: c.Kubernetes.ServiceAccount.Name,
		PodName:        c.Kubernetes.Pod.Name,
		PodUID:         c.Kubernetes.Pod.UID,
		Expiry:         c.Expiry.Time(),
	}
}
