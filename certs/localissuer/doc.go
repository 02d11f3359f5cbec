// Package localissuer stands in for the API server and the kubelet where there is
// no cluster: it issues service-account tokens to local workloads and keeps, for
// each, the folder that a sidecar reads.
//
// In go the pods and the trust bundle; out come tokens with the claims of
// Kubernetes bound tokens, the keys that verify them (Issuer is a
// token.KeySource), and one folder a pod that changes as a projected volume does
// (Projector). The control plane authenticates these tokens by the same code as a
// cluster's.
//
//	Issuer ──Mint──> Projector ──> DIR/<namespace>/<pod>/{token,root.pem,...} ──> Envoy
//	   └────Key────> token.JWT                  ↑ one swap of ..data for all
//
// It is for one machine whose owner starts the workloads: it asks no pod to prove
// anything, but puts each pod's token where only that pod's user can read it.
package localissuer
