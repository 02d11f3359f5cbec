// Package demo shows the mesh at work on one machine, and measures it.
//
// In come the shop's manifests (examples/shop) and the programs of the mesh; out
// come the rows of a report.Summary. It plays the API server and the kubelet:
//
//	manifests ──copied──> work folder ──watched by──> fairlead-controller
//	    │                     ^                             ║ xDS
//	    └─> replicas ─────> pods, each a network namespace: app + Envoy
//
// Every number is measured from where a user stands: the load runs in the network
// namespace of the pod web and goes through its sidecar; identities are those that
// the apps and the sidecars report. The package reaches into no part of the control
// plane: it writes YAML, starts and kills its process, and reads Envoy's own
// statistics.
//
// It needs root on Linux. Whatever happens, it leaves no process and no namespace.
package demo
