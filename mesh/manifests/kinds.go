package manifests

import (
	"slices"
	"strings"
)

// kind is a kind of object that the mesh reads.
type kind struct {
	group    string
	versions []string // the one to write first
	kind     string
	read     func(*object)
}

func (k *kind) apiVersion() string {
	if k.group == "" {
		return k.versions[0]
	}
	return k.group + "/" + k.versions[0]
}

// kinds lists what the mesh reads. Everything else is named once and skipped.
func kinds() []kind {
	const (
		apps    = "apps"
		batch   = "batch"
		gateway = "gateway.networking.k8s.io"
	)
	v1 := []string{"v1"}
	return []kind{
		{"", v1, "Namespace", readNamespace},
		{"", v1, "ServiceAccount", readServiceAccount},
		{"", v1, "Service", readService},
		{"", v1, "Endpoints", readEndpoints},
		{"", v1, "Pod", readPod},
		{"discovery.k8s.io", v1, "EndpointSlice", readEndpointSlice},
		{apps, v1, "Deployment", readDeployment},
		{apps, v1, "StatefulSet", readStatefulSet},
		{apps, v1, "DaemonSet", readDaemonSet},
		{apps, v1, "ReplicaSet", readReplicaSet},
		{batch, v1, "Job", readJob},
		{batch, v1, "CronJob", readCronJob},
		// v1beta1 has the same types, and the API server still serves it.
		{gateway, []string{"v1", "v1beta1"}, "HTTPRoute", readHTTPRoute},
		{gateway, v1, "GRPCRoute", readGRPCRoute},
	}
}

type verdict uint8

const (
	unknown verdict = iota
	known
	wrongVersion
)

// lookup finds a kind. A kind that the mesh reads, under a version that is not
// served, is worth a word: the user believes that it counts.
func (s *source) lookup(apiVersion, name string) (*kind, verdict) {
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	if group == "extensions" { // where Deployments were until Kubernetes 1.16
		group = "apps"
	}
	i := slices.IndexFunc(s.kinds, func(k kind) bool { return k.group == group && k.kind == name })
	switch {
	case i < 0 || version == "":
		return nil, unknown
	case slices.Contains(s.kinds[i].versions, version):
		return &s.kinds[i], known
	default:
		return &s.kinds[i], wrongVersion
	}
}
