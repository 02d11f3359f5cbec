// Package drive is a crowd of fake proxies in one process: one TLS connection and
// one delta ADS stream each, behaving as a sidecar's Envoy does on that stream.
//
// A proxy subscribes to clusters, then to what these refer to, then to listeners,
// routes, virtual hosts and secrets, and last to its destinations, on demand; it
// acknowledges every response; it comes back after a cut with everything that it
// holds, waiting as long as Envoy would. It decodes no more than names and
// versions, and applies nothing: the CPU is the server's to use.
package drive
