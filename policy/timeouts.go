package policy

import (
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// compileTimeouts reads rules[].timeouts (GEP-1742).
func compileTimeouts(t *gatewayv1.HTTPRouteTimeouts) (Timeouts, problems) {
	if t == nil {
		return Timeouts{}, nil
	}
	request, ps := parseDuration(t.Request, "request")
	backend, more := parseDuration(t.BackendRequest, "backendRequest")
	ps = append(ps, more...)
	if request != nil && backend != nil && *request != 0 && *backend > *request {
		ps = append(ps, refuse(codeBackendTimeout, "backendRequest", "shorten it, or give request more",
			"one try may take %s, but all tries together only %s", *t.BackendRequest, *t.Request)...)
	}
	return Timeouts{Request: request, BackendRequest: backend}, ps.in("timeouts")
}

// compileRetry reads rules[].retry (GEP-1731 as of Gateway API v1.7): one attempt
// unless it says otherwise, and none at all if it says 0.
func compileRetry(r *gatewayv1.HTTPRouteRetry) (*Retry, problems) {
	if r == nil {
		return nil, nil
	}
	var ps problems
	attempts := 1
	if r.Attempts != nil {
		attempts = *r.Attempts
	}
	if attempts < 0 || attempts > maxAttempts {
		ps = append(ps, refuse(codeRetry, "attempts", "0 turns retries off", "%d is not between 0 and %d", attempts, maxAttempts)...)
		attempts = 0
	}
	retry := &Retry{Attempts: uint32(attempts), Unreached: attempts > 0}
	for i, code := range r.Codes {
		if code < 400 || code > 599 {
			ps = append(ps, refuse(codeRetry, "", "list error codes only", "%d is not between 400 and 599", code).inItem("codes", i)...)
			continue
		}
		retry.Codes = append(retry.Codes, uint32(code))
	}
	slices.Sort(retry.Codes)
	retry.Codes = slices.Compact(retry.Codes)
	if attempts == 0 {
		retry.Codes = nil
	}
	backoff, more := parseDuration(r.Backoff, "backoff")
	if backoff != nil {
		retry.Backoff = *backoff
	}
	return retry, append(ps, more...).in("retry")
}

// maxAttempts bounds retry.attempts. The API has no upper bound; this one only
// keeps the number a sensible one, and is far above what a budget lets through.
const maxAttempts = 1000
