// Package meshtest is a whole mesh for a test: a control plane in this process,
// pods that are network namespaces, a real Envoy in each, and real packets.
//
// Apps and their callers are functions of the test, with sockets inside the pods.
// Whatever a test writes with Apply is a manifest that a user could have written.
// Waiting is always for a condition (Eventually), never for time.
package meshtest
