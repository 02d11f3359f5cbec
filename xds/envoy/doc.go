// Package envoy writes what an Envoy is told: listeners, routes, clusters,
// endpoints and secrets, as the API types of Envoy 1.40.
//
// In come plain values of packages mesh and policy; out go Envoy resources.
// Every function is pure: no clock, no random numbers, no lookup. The same
// values give the same bytes, because a resource's version is the hash of its
// bytes, and an edit that changes nothing must reach nobody.
//
// # Names
//
// The names of the resources are a contract between the listeners, which build
// them from what a connection looks like, and the control plane, which is asked
// for them:
//
//	LDS   outbound, inbound                   RDS   outbound, inbound
//	VHDS  outbound/*                          every address without rules
//	      outbound/10.96.0.10:80              an address whose port has rules
//	CDS   10.96.0.10:80, [fd00::1]:80         HTTP by the address that was called
//	      tcp/10.96.0.10:80                   TCP by the address that was called
//	      shop/catalog:80                     a backend of a rule
//	      inbound, outbound-passthrough, blackhole
//	EDS   shop/catalog:80                     shared by all clusters of the port
//	      shop/catalog:80/ipv6                of a dual-stack Service's other family
//	SDS   default, roots                      the proxy's leaf; the trust bundle
//	      peers/shop/catalog                  who may answer for a Service
//	      peer/shop/catalog-account           who may answer at a pod's address
//
// # What it never does
//
// Nothing that follows one Service is in a listener, and nothing that changes
// often: an edit of a listener drains its connections. The one exception is the
// filter_chain_matcher, which Envoy replaces in place: outbound it has the addresses
// that are in the mesh, inbound the ports on which the workload serves HTTP only.
package envoy
