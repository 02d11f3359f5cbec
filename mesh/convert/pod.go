package convert

import (
	"cmp"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead/fairlead/mesh"
)

// Pod converts a live pod. It is meshed if it carries the annotation Injected.
func Pod(p *corev1.Pod) *mesh.Pod {
	out := pod(&p.ObjectMeta, &p.Spec)
	out.UID = string(p.UID)
	out.Workload = WorkloadOf(&p.ObjectMeta)
	out.Node = p.Spec.NodeName
	// Kubernetes copies the node's zone to the pod (KEP-4742).
	out.Zone = p.Labels[corev1.LabelTopologyZone]
	out.Ready = PodReady(p)
	final := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	out.Terminating = p.DeletionTimestamp != nil || final
	if !final { // the kubelet has given the addresses of a finished pod back
		out.Addresses = podIPs(&p.Status)
	}
	return out
}

// PodReady reports the pod's Ready condition.
func PodReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// pod converts what a pod and a pod template have in common.
func pod(m *metav1.ObjectMeta, spec *corev1.PodSpec) *mesh.Pod {
	return &mesh.Pod{
		Name:        name(m),
		Labels:      m.Labels,
		Annotations: own(m.Annotations),
		// The admission plugin ServiceAccount fills it in.
		ServiceAccount: cmp.Or(spec.ServiceAccountName, spec.DeprecatedServiceAccount, "default"),
		Meshed:         m.Annotations[Injected] == "true" && !spec.HostNetwork,
		HostNetwork:    spec.HostNetwork,
		Ports:          containerPorts(spec),
	}
}

func podIPs(s *corev1.PodStatus) []netip.Addr {
	out := addAddress(nil, s.PodIP)
	for _, ip := range s.PodIPs {
		out = addAddress(out, ip.IP)
	}
	return out
}

// containerPorts lists the ports of the containers, then those of the native
// sidecars: the order in which Kubernetes looks for a named target port.
func containerPorts(spec *corev1.PodSpec) []mesh.ContainerPort {
	var out []mesh.ContainerPort
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if n := number(p.ContainerPort); n != 0 {
				udp := p.Protocol == corev1.ProtocolUDP || p.Protocol == corev1.ProtocolSCTP
				out = append(out, mesh.ContainerPort{Name: p.Name, Number: n, UDP: udp})
			}
		}
	}
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	return out
}
