// Package convert turns Kubernetes objects into the values of package mesh.
//
// In come typed objects as the API server or a strict decoder gives them; out go
// mesh values. The functions are pure: they call nothing, log nothing and never
// modify what they are given. Maps and routes are shared with the object, so the
// object must not be modified afterwards. What is not valid (an address that does
// not parse, a port out of range) is left out: to report it is the business of
// whoever read the object.
//
// The package does not default what an API server would default, except where a
// zero value would mislead (a pod's service account is "default").
package convert
