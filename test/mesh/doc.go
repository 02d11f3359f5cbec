// Package mesh_test tries the mesh on its real parts: manifests in a folder, the
// control plane, real Envoys in network namespaces with nft redirection, real TLS.
// Each test states what a user may rely on.
package mesh
