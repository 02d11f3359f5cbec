// Package policy says what the rules of the mesh mean.
//
// In goes the model (package mesh), out come plain values: how calls to one port
// of a Service are to be routed, retried and timed out (Outbound), and the
// verdicts on the objects that said so (Verdict). Everything here is a pure
// function: no clock, no I/O, no state.
//
// The package knows no Envoy. What cannot be expressed there is not its concern;
// what the Gateway API says is.
package policy
