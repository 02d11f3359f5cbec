// Package controller is the control plane: it wires a source of objects, the
// model, the translation, the CA and the xDS server, and runs them together.
//
//	manifests ──> mesh.Store ──feed──> xds (generator) ──> xds/ads ══ TLS, tokens ══> Envoy
//	                  │                    ^
//	                  └──> local volumes   certs
//
// It decides nothing itself. Run returns when its context ends, after streams
// have been drained, or when a part that nothing can go on without has failed.
//
// The xDS port speaks TLS only and serves no stream without a token. The debug
// listener is on loopback or on a Unix socket that only its owner may use; it
// shows no key and no token.
package controller
