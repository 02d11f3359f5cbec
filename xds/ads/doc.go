// Package ads is the delta xDS server: it tells each Envoy what it asked for,
// and knows what each of them has acknowledged.
//
// In come subscriptions (from Envoys, over one gRPC stream each), the names of
// mesh values that changed (Server.Changed), and resources, made on demand by a
// Source. Out go responses, and answers to the question who holds what.
//
//	[ Source.Build ] -> [ entry ] <- held -> [ stream ] -> Envoy
//	      ^ view           |  one per Key, encoded once     one per Envoy
//	[ mesh keys ] ---------+  index: mesh.Key -> entries
//
// What holds:
//
//   - A resource is built when the first client asks, encoded once, and the same
//     bytes go to every stream. Its version is a hash of its content: what a
//     client already has is never sent again.
//   - Work per change follows the number of clients that hold the changed thing.
//   - A stream has one sender at a time, which exists only while there is
//     something to send, and a coalescing dirty set, never a queue. A client that
//     does not read or does not answer is cut off after a deadline and delays
//     nobody.
//   - Additions go out in the order of Type, removals in reverse, and a removal
//     only when what replaces it has been acknowledged by that client.
//   - A version that a client rejects is withheld from it. Once two pods have
//     rejected it and nobody has acknowledged it, it is withheld from everyone: one
//     pod alone must not be able to do that. What a client has then stays, also if
//     this server did not make it; nothing is ever removed for being rejected.
//   - A pod has one stream, the newest. What one client asks for, says or rejects,
//     however often, costs others nothing: what it may hold, have signed and have
//     logged is bounded, and beyond the bounds it is refused name by name, since a
//     stream that is ended for them would come back with the same wishes.
//   - Versions are recorded at the ACK, not at the send.
//
// Locks, outermost first: stream.refreshing, stream.mu, then one of the leaves
// entry.mu, cache.mu, index.mu, builder.mu, timers.mu, scopes.mu, Server.mu. No
// leaf is held while another lock is taken, no lock of another stream while
// stream.mu is held, and none at all while something is sent, built or marshalled.
// Methods of a Source other than Build and Issue are called under stream.mu,
// Config.Refresh under stream.refreshing.
//
// The package knows nothing of Kubernetes and of what the resources mean. It
// never logs or keeps a token or the content of a private resource.
package ads
