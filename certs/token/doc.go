// Package token says who a caller is by the service-account token that it shows.
//
// In goes the bearer token of a stream, out comes a Caller: the pod and the service
// account that the token was made for. JWT checks the signature itself, by the
// issuer's published keys; Review asks the API server; LivePods adds to either that
// the pod still exists.
//
// A token counts only if it is bound to a pod (KEP-1205) and was made for the
// mesh's audience: a token that leaks from another use is worth nothing here, and
// one that leaks from a pod dies with the pod.
//
// No error, log line or cache holds a token, or a part of one that was not
// verified. Whoever calls decides what a Caller may do; this package knows neither
// Envoy nor an API client (Review takes one method of it).
package token
