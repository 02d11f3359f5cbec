package convert

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead/fairlead/mesh"
)

// Service converts a Service.
func Service(s *corev1.Service) *mesh.Service {
	out := &mesh.Service{
		Name:             name(&s.ObjectMeta),
		Selector:         s.Spec.Selector,
		PublishNotReady:  s.Spec.PublishNotReadyAddresses,
		ClientIPAffinity: s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP,
		Annotations:      own(s.Annotations),
		Created:          created(&s.ObjectMeta),
	}
	for _, p := range s.Spec.Ports {
		if n := number(p.Port); n != 0 {
			out.Ports = append(out.Ports, port(p, n))
		}
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		// The API server keeps no cluster IP for this type, a manifest might.
		out.ExternalName, out.Selector = s.Spec.ExternalName, nil
		return out
	}
	out.Headless = s.Spec.ClusterIP == corev1.ClusterIPNone
	out.Addresses = clusterIPs(s)
	for _, ip := range s.Spec.ExternalIPs {
		out.ExternalAddresses = addAddress(out.ExternalAddresses, ip)
	}
	for _, in := range s.Status.LoadBalancer.Ingress {
		// With mode Proxy a call has to pass through the load balancer (KEP-1860).
		if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
			out.ExternalAddresses = addAddress(out.ExternalAddresses, in.IP)
		}
	}
	return out
}

// clusterIPs returns the cluster IPs; spec.clusterIP is the first of them, and in
// objects from before dual-stack the only one.
func clusterIPs(s *corev1.Service) []netip.Addr {
	out := addAddress(nil, s.Spec.ClusterIP)
	for _, ip := range s.Spec.ClusterIPs {
		out = addAddress(out, ip)
	}
	return out
}

func addAddress(list []netip.Addr, s string) []netip.Addr {
	if a, ok := Address(s); ok && !slices.Contains(list, a) {
		list = append(list, a)
	}
	return list
}

func port(p corev1.ServicePort, number uint16) mesh.Port {
	out := mesh.Port{Name: p.Name, Number: number, TargetPort: p.TargetPort.String(), Protocol: Protocol(p)}
	if p.TargetPort.IntVal == 0 && p.TargetPort.StrVal == "" {
		out.TargetPort = ""
	}
	if p.AppProtocol != nil {
		out.AppProtocol = *p.AppProtocol
	}
	return out
}
