package envoy

import (
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairlead/fairlead/policy"
)

// headerUnreached is on a response that the server's sidecar gave because it
// could not reach the app: the request may be sent elsewhere.
const headerUnreached = "x-fairlead-unreached"

// protocolOptions keeps the protocol of the caller: HTTP/1 stays HTTP/1 and
// HTTP/2 stays HTTP/2, through both sidecars to the app.
func protocolOptions() *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			// Half of what the other sidecar allows an idle connection, so that the caller
			// closes first and no request meets the close.
			IdleTimeout: lasting(30 * time.Minute),
		},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  http1(),
				Http2ProtocolOptions: clientHTTP2(),
			},
		},
	}
}

func setHTTP(c *clusterv3.Cluster, h *httpv3.HttpProtocolOptions) {
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": pack(h),
	}
}

// http1 passes on what HTTP/1 has: trailers are dropped by default.
func http1() *corev3.Http1ProtocolOptions {
	return &corev3.Http1ProtocolOptions{EnableTrailers: true}
}

// http2 bounds what a stalled stream holds in memory (the default is 16 MiB) and
// lets WebSockets through (RFC 8441).
func http2() *corev3.Http2ProtocolOptions {
	return &corev3.Http2ProtocolOptions{
		AllowConnect:                true,
		InitialStreamWindowSize:     number(1 << 20),
		InitialConnectionWindowSize: number(4 << 20),
	}
}

// clientHTTP2 opens another connection for what is above 100 streams, the least
// that servers are to allow (RFC 9113, section 6.5.2). How many a server allows
// stands in its first frame, and a burst of calls on a new connection does not
// wait for that: the server would refuse what is too much.
func clientHTTP2() *corev3.Http2ProtocolOptions {
	o := http2()
	o.MaxConcurrentStreams = number(100)
	return o
}

// hostSelections is how often a retry may draw before it takes an endpoint that was
// tried already. The balancer prefers whoever has least to do, and that is a dead
// endpoint: of two, each draw finds it with a probability of a half to three
// quarters. A draw costs next to nothing.
const hostSelections = 30

// retryPolicy writes r with the bound of one try. Nil and 0 attempts retry
// nothing.
func retryPolicy(r *policy.Retry, perTry *time.Duration) *routev3.RetryPolicy {
	p := &routev3.RetryPolicy{NumRetries: number(0)}
	if perTry != nil && *perTry > 0 {
		p.PerTryTimeout = lasting(*perTry)
	}
	if r == nil || r.Attempts == 0 {
		if p.PerTryTimeout == nil {
			return nil
		}
		return p
	}
	var on []string
	if r.Unreached {
		on = append(on, "connect-failure", "refused-stream", "retriable-headers")
		p.RetriableHeaders = []*routev3.HeaderMatcher{{
			Name:                 headerUnreached,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}}
	}
	if len(r.Codes) > 0 {
		on = append(on, "retriable-status-codes")
		p.RetriableStatusCodes = r.Codes
	}
	if retriesResets(r.Codes, p.PerTryTimeout != nil) {
		on = append(on, "reset")
	}
	p.RetryOn = strings.Join(on, ",")
	p.NumRetries = number(r.Attempts)
	p.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
		Name: "envoy.retry_host_predicates.previous_hosts",
		ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
			TypedConfig: pack(&previoushostsv3.PreviousHostsPredicate{}),
		},
	}}
	p.HostSelectionRetryMaxAttempts = hostSelections
	if r.Backoff > 0 {
		p.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: lasting(max(r.Backoff, time.Millisecond)),
			MaxInterval:  lasting(10 * max(r.Backoff, time.Millisecond)),
		}
	}
	return p
}

// retriesResets reports that a try which ends without an answer is to be retried:
// the caller would get one of codes for it, 504 after the time for one try
// (GEP-1731 asks for the next try then), else 503. To Envoy both are one condition,
// so 504 decides where tries are bounded.
func retriesResets(codes []uint32, bounded bool) bool {
	if bounded {
		return slices.Contains(codes, 504)
	}
	return slices.Contains(codes, 503)
}

// hashBySource hashes by the caller's address: all calls of a pod go to one
// endpoint while it is there.
func hashBySource() []*routev3.RouteAction_HashPolicy {
	return []*routev3.RouteAction_HashPolicy{{
		PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
		},
	}}
}
