// Package sidecar measures a real Envoy: how much memory of its own it needs for
// what it uses, in clusters of different sizes.
//
// Two pods in network namespaces (internal/lab), a caller and a backend, each with
// a sidecar; the control plane runs in this process, on the lab's node. All
// Services lead to the backend. The caller makes real requests to a few of them;
// then the anonymous memory (RssAnon) of its Envoy is read. Each figure is the
// median of several Envoys, each started for it.
package sidecar
