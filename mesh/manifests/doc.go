// Package manifests fills the model from Kubernetes YAML and JSON: a folder, a file
// or a stream.
//
// In come files as people have them in their repositories; out comes a mesh.Batch,
// the same values that informers would give, and Problems that name file, line,
// object, field and the way out. Load and Read do that once. Watch goes on, and
// applies what changes to a store. The package never writes a file, never speaks to
// an API server, and never guesses: an object with a problem does not count.
//
// # What is read
//
// Files that end in .yaml, .yml or .json, in the folder and all folders in it;
// hidden ones are left out, symbolic links are followed. A file may hold several
// documents, and lists (kind: List). Namespaces, ServiceAccounts, Services,
// Endpoints, EndpointSlices, Pods, Deployments, StatefulSets, DaemonSets,
// ReplicaSets, Jobs, CronJobs, HTTPRoutes and GRPCRoutes count; any other kind is
// named once in Skipped. Decoding is strict: unknown fields, values of a wrong type,
// keys that stand twice are Problems. YAML reads as kubectl reads it, where a bare
// "yes" is a boolean.
//
// # What a cluster would have added
//
//   - Objects without a namespace are in Options.Namespace, pods without a service
//     account have "default".
//   - A Service without a cluster IP (neither headless nor ExternalName) gets a
//     stand-in from Options.ServiceRanges. It follows from the Service's name; two
//     names that fall on one address are the only reason for it to move, and never
//     while a folder is watched.
//   - A Deployment and the like counts as a workload: one stand-in pod of its name
//     and template, unless the folder holds a pod of it. A pod without a controller
//     belongs to the workload whose template labels it has.
//   - Pods and templates without an address keep none, or get a stand-in with
//     Options.StandIns. UIDs that are missing follow from kind and name.
//   - A pod is meshed if it carries the annotation fairlead.dev/injected: "true", or
//     if the injector would take it: its label or annotation fairlead.dev/inject is
//     "enabled", or says nothing and that of its namespace is. Pods on the host's
//     network never are.
//   - A Service with a selector gets its slices derived from the pods that have an
//     address, unless an EndpointSlice or Endpoints object of the folder names it.
//     Pods whose manifest has no status count as ready.
//
// # Watching
//
// An edit takes effect a few milliseconds after the folder is quiet again, as one
// batch; only files that changed are read, and only namespaces that they speak of
// are put together again. A broken file keeps the last good state of that file. A
// file that is gone or empty is waited for during a tenth of a second, as long as no
// new file explains it. A folder that is gone keeps everything as it was.
//
// # Bounds
//
// Input is untrusted: the size of a file, the objects in it, the files of a folder
// (Options), the depth of a document, what aliases may stand for and the number of
// Problems are bounded.
package manifests
