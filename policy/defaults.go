package policy

import (
	"time"

	"github.com/fairlead/fairlead/mesh"
)

// Defaults are what holds for calls to a port of a Service without anybody having
// asked for it. They go with the clusters of the Service and never give it rules.
type Defaults struct {
	Retry          Retry
	RetryBudget    RetryBudget
	Outlier        Outlier
	Breakers       Breakers
	ConnectTimeout time.Duration
	// ClientIPAffinity reports that all calls of one client are to reach the same
	// endpoint (spec.sessionAffinity: ClientIP). A client is a pod, so that its
	// sidecar has one endpoint for it.
	ClientIPAffinity bool
}

// Outlier is when an endpoint is taken out of use for a while.
type Outlier struct {
	// ConsecutiveGatewayFailures in a row (502, 503, 504, no connection, reset) put
	// an endpoint out. Other 5xx do not count: an app's 500 says as much about the
	// request as about the endpoint.
	ConsecutiveGatewayFailures uint32
	// Interval between two looks at who may come back.
	Interval time.Duration
	// Ejection is the time out for the first time; each further time adds as much
	// again, up to MaxEjection.
	Ejection    time.Duration
	MaxEjection time.Duration
	// MaxEjectedPercent of the endpoints, rounded down, may be out at once: a lone
	// endpoint never is.
	MaxEjectedPercent uint32
}

// Breakers bound what one proxy has open to one port of a Service.
type Breakers struct {
	MaxConnections uint32
	MaxPending     uint32
	MaxRequests    uint32
}

// RetryBudget bounds the retries under way to one port of a Service, so that they
// cannot add up to a storm.
type RetryBudget struct {
	// Percent of the requests under way may be retries...
	Percent uint32
	// ...but this many always, so that a quiet client has any.
	MinConcurrent uint32
}

// The defaults. They are never modified.
var (
	// DefaultRetry is safe for every request, idempotent or not: it tries again only
	// what surely never reached the app. Two more tries find a living endpoint in a
	// roll-out of a few pods, and a further one would mostly find the same outage.
	DefaultRetry = Retry{Attempts: 2, Unreached: true}

	// DefaultRetryBudget has the numbers of GEP-3388's own defaults: 20 % and ten,
	// there counted per second, here at a time.
	DefaultRetryBudget = RetryBudget{Percent: 20, MinConcurrent: 10}

	// DefaultOutlier puts an endpoint out after five gateway failures in a row and
	// lets it come back soon: a restarted pod takes seconds, and its readiness takes
	// it out of the list anyway if it stays away. At least half the endpoints stay,
	// since a failure that so many share is not theirs.
	DefaultOutlier = Outlier{
		ConsecutiveGatewayFailures: 5,
		Interval:                   5 * time.Second,
		Ejection:                   10 * time.Second,
		MaxEjection:                time.Minute,
		MaxEjectedPercent:          50,
	}

	// DefaultBreakers are far above Envoy's 1024, which a busy client reaches without
	// anything being wrong, and about what one pod has local ports for.
	DefaultBreakers = Breakers{MaxConnections: 65536, MaxPending: 65536, MaxRequests: 65536}
)

// DefaultConnectTimeout bounds TCP and TLS handshake together. Inside a cluster
// both take milliseconds; the kernel repeats a lost SYN after 1 s and again after
// 3 s, and this leaves room for both.
const DefaultConnectTimeout = 5 * time.Second

// ServiceDefaults returns what holds for calls to that port of a Service where its
// routes say nothing else. It reads only the Service.
func ServiceDefaults(v mesh.View, service mesh.Name, port uint16) Defaults {
	d := Defaults{
		Retry:          DefaultRetry,
		RetryBudget:    DefaultRetryBudget,
		Outlier:        DefaultOutlier,
		Breakers:       DefaultBreakers,
		ConnectTimeout: DefaultConnectTimeout,
	}
	if s := v.Service(service); s != nil && s.Port(port) != nil {
		d.ClientIPAffinity = s.ClientIPAffinity
	}
	return d
}
