// Package serve is the servers that are measured, each in a process of its own:
// Fairlead's, go-control-plane's, and a bare broadcast that is the floor.
//
// All three listen on loopback with the same TLS configuration and, unless a kind
// says otherwise, the same gRPC options, and tell of the same change with the same
// bytes: what Fairlead's server sent to a scout (drive.Capture) is what the other
// two are filled with.
package serve
