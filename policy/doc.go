// Package policy says what the rules of the mesh mean.
//
// In goes the model (package mesh), out come plain values: how calls to one port
// of a Service are to be routed, retried and timed out (ForService, and
// ServiceDefaults where no route says anything), what is to stand in the status of
// the routes that said so (Verdicts), and what a person should look at (Lint).
// Everything here is a pure function: no clock, no I/O, no state.
//
// A route is read in one place (compile), so that what is served and what is said
// of it cannot disagree. It fails closed: a rule that asks for something which is
// not understood answers with a 500 and never makes way for a wider one.
//
//	mesh.Route -> compile -> ForService -> Outbound  (xds)
//	                  |----> Verdicts   -> status, lint
//	                  '----> Lint       -> Findings
//
// The package knows no Envoy. What cannot be expressed there is not its concern;
// what the Gateway API says is: v1.7, GEP-1294 for meshes, RE2 for regular
// expressions.
package policy
