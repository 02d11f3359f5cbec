// Package certs is the certificate authority: who someone is, and until when.
//
// In goes an identity (mesh.Identity) that the caller has already proved, see
// package certs/token; out come a leaf with a fresh key for it, the trust bundle
// that verifies such leaves, and the TLS configuration of the control plane's own
// port, which is signed by the same authority.
//
//	CA files ──> Authority ──Issue(identity)──> Leaf      (made for one proxy, kept nowhere)
//	 (watched)        ├──────Bundle/Subscribe──> Bundle    (the set of roots)
//	                  └──────ServerTLS─────────> tls.Config (renewed live)
//
// What holds:
//   - A leaf has exactly one URI SAN, the SPIFFE ID, and no subject (SPIFFE
//     X509-SVID, sections 2 and 4). It never outlives the certificates above it.
//   - What the authority runs on has been tried: files that cannot sign a leaf
//     which their own roots verify are refused at start, and ignored later, with the
//     last good ones kept.
//   - A change of the files takes effect in three steps, the last two when the
//     caller says that everybody is ready: trust the new roots as well as the old,
//     sign with the new key (Promote), trust the new roots only (Retire). So the
//     whole CA can be replaced in one step. What is under way ends with the process:
//     after a restart only what the files hold is known.
//   - Private keys are in a Sensitive, which no formatter, encoder or logger can
//     print. The authority keeps no key but its own.
//
// The package knows no Envoy and no API server, and decides nothing about who may
// ask: it signs what it is told to. It bounds no concurrency: callers do.
//
// Everything is safe for concurrent use. There is one lock, around a reload; Issue
// and StillGood read an immutable state through an atomic pointer.
package certs
