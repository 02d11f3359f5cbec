// Package injector puts the sidecar into pods.
//
// In come the options of an installation and what is known of one pod; out comes
// text: the bootstrap that Envoy takes as its one argument --config-yaml, and the
// two SDS files beside which the token and the trust bundle lie. All functions
// are pure: the same options give the same bytes.
//
// The sidecar is a stock Envoy. Nothing of Fairlead runs beside it, so whatever
// it has to know of itself must be in this text: by value, or as a $(VAR) that the
// kubelet expands from the downward API.
//
// The package reads no cluster and starts nothing. The redirection of a pod's
// connections to its sidecar is in the package redirect below it.
package injector
