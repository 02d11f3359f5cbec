// Package lab is a mesh on one machine: network namespaces as pods, real Envoys
// in them, and real packets between them.
//
// In come pods (PodSpec), programs (ProcessSpec) and bootstraps; out comes a
// running network of them, with sockets into each pod for the caller's own code:
//
//	        node 10.244.0.1, fd00:10:244::1
//	------------------+------------------ bridge, no way to the outside world
//	   10.244.1.1     |      10.244.1.2
//	+-- pod web-1 ----+   +-- pod catalog-1 --+
//	| app  <-> Envoy  |   |  Envoy <-> app    |
//	+-----------------+   +-------------------+
//
// A pod has a default route, so that a call to any address gets as far as the
// redirection to its sidecar. There is no kube-proxy: a Service's address means
// something to an Envoy only.
//
// Everything belongs to the Lab and goes with it: Close ends the processes, closes
// the listeners and deletes the namespaces. What a killed program leaves behind,
// CleanupStale removes. Labs run side by side.
//
// The package needs root on Linux. It knows nothing of what an Envoy is told: the
// control plane is one more process, or runs in the caller.
package lab
