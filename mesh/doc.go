// Package mesh is the model: what is in the cluster, and what changed.
//
// In come values that an adapter made from Kubernetes objects (mesh/manifests
// from a folder of YAML, later mesh/kube from informers). Out go immutable
// values, looked up through a View, and a feed of Keys that names what changed.
//
// The Store has one writer. A value that it has given out is never modified: a
// change puts a new value in its place. Readers may keep values as long as they
// like and may read concurrently with the writer.
//
// The package knows no Envoy and no API server. It decides nothing: what a route
// or a policy means is the business of package policy.
package mesh
