// Package redirect sends a pod's connections through its sidecar, by nftables.
//
// In come the ports and user of the sidecar and what is to be left alone. MakePlan
// turns these into rules, a pure value that can be printed; Apply puts them into
// the network namespace of the calling thread as one table, "inet fairlead", in one
// transaction: there is no moment with half of the rules, and applying again
// replaces all of them. Remove takes the table away.
//
//	another pod --> prerouting --> 15006 --> app
//	app ----------> output ------> 15001 --> other pods
//	app ----------> output ------> itself, over loopback: left alone
//	sidecar ------> output ------> other pods: left alone
//	sidecar ------> output ------> its own pod: 15006
//
// A connection that exists before the rules do is never redirected: only a SYN
// is. The rules outlive the process that made them, and the sidecar: with the
// sidecar gone nothing passes.
//
// UDP is left alone. The package touches no table but its own and no route; it
// adds the address ::6 to the loopback interface, from which the sidecar calls
// the app over IPv6.
package redirect
