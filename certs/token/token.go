package token

import (
	"context"
	"time"
)

// DefaultAudience is the audience that a sidecar's token must name.
const DefaultAudience = "fairlead"

// maxTokenBytes is several times what the API server issues.
const maxTokenBytes = 16 << 10

// DefaultLeeway is how far an issuer's clock may be from ours.
const DefaultLeeway = 10 * time.Second

// Caller is who a token was made for.
type Caller struct {
	Namespace      string
	ServiceAccount string
	PodName        string
	PodUID         string
	// Expiry is when the token ends.
	Expiry time.Time
}

// Authenticator finds out who a token was made for. Every error is an *Error, also
// for a token that is empty. Safe for concurrent use.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Caller, error)
}
