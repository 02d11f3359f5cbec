// Package xds decides which Envoy resources exist for which proxy: it is the
// Source that package xds/ads serves.
//
// In come the name of a resource and the proxy's namespace; the mesh is read
// through a View, rules come from package policy, certificates from an
// Authority. Out goes the resource, written by package xds/envoy, with what has
// to be held along with it and what has to be acknowledged before it.
//
// A name comes from a proxy. What it may name is parsed strictly; whatever an
// app may call is answered: with a cluster of endpoints, a pass-through or an
// empty one, never with nothing.
//
// The package does no I/O, keeps no copy of anything, and never keeps a private
// key.
package xds
