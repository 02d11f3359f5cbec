package manifests

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead/fairlead/mesh/convert"
)

// What the API server would refuse and the mesh would stumble over is checked
// here. It is no full validation: that is kubectl's --dry-run=server.

func (o *object) checkService(s *corev1.Service) bool {
	o.checkServicePorts(s.Spec.Ports)
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		if s.Spec.ExternalName == "" {
			o.invalid("spec.externalName", "is missing", "name the host, or use another spec.type")
		}
		return !o.bad
	}
	headless := s.Spec.ClusterIP == corev1.ClusterIPNone
	if len(s.Spec.Ports) == 0 && !headless {
		o.invalid("spec.ports", "is empty", "list at least one port, or make the Service headless (clusterIP: None)")
	}
	if s.Spec.ClusterIP != "" && !headless {
		o.checkIP("spec.clusterIP", s.Spec.ClusterIP)
	}
	for i, ip := range s.Spec.ClusterIPs {
		path := fmt.Sprintf("spec.clusterIPs[%d]", i)
		if i == 0 && ip != s.Spec.ClusterIP && s.Spec.ClusterIP != "" {
			o.invalid(path, fmt.Sprintf("%q is not spec.clusterIP %q", short(ip), short(s.Spec.ClusterIP)),
				"make the first of clusterIPs equal to clusterIP")
		}
		switch {
		case ip != corev1.ClusterIPNone:
			o.checkIP(path, ip)
		case s.Spec.ClusterIP == "":
			s.Spec.ClusterIP = corev1.ClusterIPNone // as the API server fills it in
		}
	}
	for i, ip := range s.Spec.ExternalIPs {
		o.checkIP(fmt.Sprintf("spec.externalIPs[%d]", i), ip)
	}
	for i, family := range s.Spec.IPFamilies {
		if family != corev1.IPv4Protocol && family != corev1.IPv6Protocol {
			o.invalid(fmt.Sprintf("spec.ipFamilies[%d]", i), fmt.Sprintf("is %q", short(string(family))), "write IPv4 or IPv6")
		}
	}
	return !o.bad
}

func (o *object) checkServicePorts(ports []corev1.ServicePort) {
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	names, numbers := map[string]int{}, map[number]int{}
	for i, p := range ports {
		path := fmt.Sprintf("spec.ports[%d]", i)
		o.checkPort(path+".port", p.Port)
		o.checkProtocol(path+".protocol", p.Protocol)
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		first, twice := names[p.Name]
		switch {
		case p.Name == "" && len(ports) > 1:
			o.invalid(path+".name", "is missing, and there are several ports", "give every port a name of its own")
		case twice:
			o.invalid(path+".name", fmt.Sprintf("%q is the name of spec.ports[%d] too", short(p.Name), first),
				"give every port a name of its own")
		}
		key := number{p.Protocol, p.Port}
		if first, twice := numbers[key]; twice {
			o.invalid(path+".port", fmt.Sprintf("%d/%s is that of spec.ports[%d] too", p.Port, p.Protocol, first),
				"a Service has each port once")
		}
		names[p.Name], numbers[key] = i, i
	}
}

func (o *object) checkEndpointSlice(s *discoveryv1.EndpointSlice) bool {
	var fits func(netip.Addr) bool
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4:
		fits = netip.Addr.Is4
	case discoveryv1.AddressTypeIPv6:
		fits = netip.Addr.Is6
	case discoveryv1.AddressTypeFQDN:
		return !o.bad // allowed, and of no use to a proxy
	default:
		o.invalid("addressType", fmt.Sprintf("is %q", short(string(s.AddressType))), "write IPv4 or IPv6")
		return false
	}
	for i, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			o.invalid(fmt.Sprintf("endpoints[%d].addresses", i), "is empty", "give every endpoint its address")
		}
		for j, ip := range e.Addresses {
			path := fmt.Sprintf("endpoints[%d].addresses[%d]", i, j)
			if a, ok := o.checkIP(path, ip); ok && !fits(a) {
				o.invalid(path, fmt.Sprintf("%s is not of addressType %s", ip, s.AddressType),
					"put the families into slices of their own")
			}
		}
	}
	for i, p := range s.Ports {
		path := fmt.Sprintf("ports[%d]", i)
		if p.Port != nil {
			o.checkPort(path+".port", *p.Port)
		}
		if p.Protocol != nil {
			o.checkProtocol(path+".protocol", *p.Protocol)
		}
	}
	return !o.bad
}

//lint:ignore SA1019 Endpoints are deprecated, but people's folders hold them
func (o *object) checkEndpoints(e *corev1.Endpoints) bool {
	for i, subset := range e.Subsets {
		for j, a := range subset.Addresses {
			o.checkIP(fmt.Sprintf("subsets[%d].addresses[%d].ip", i, j), a.IP)
		}
		for j, a := range subset.NotReadyAddresses {
			o.checkIP(fmt.Sprintf("subsets[%d].notReadyAddresses[%d].ip", i, j), a.IP)
		}
		for j, p := range subset.Ports {
			o.checkPort(fmt.Sprintf("subsets[%d].ports[%d].port", i, j), p.Port)
		}
	}
	return !o.bad
}

// checkPod checks a pod, or a template that stands at path.
func (o *object) checkPod(path string, m *metav1.ObjectMeta, spec *corev1.PodSpec) bool {
	if path != "" {
		path += "."
	}
	o.checkInject(path+"metadata.labels", m.Labels)
	o.checkInject(path+"metadata.annotations", m.Annotations)
	if spec.ServiceAccountName != "" {
		o.checkName(path+"spec.serviceAccountName", spec.ServiceAccountName, false)
	}
	if len(spec.Containers) == 0 {
		o.invalid(path+"spec.containers", "is empty", "list at least one container")
	}
	for i := range spec.Containers {
		for j, p := range spec.Containers[i].Ports {
			at := fmt.Sprintf("%sspec.containers[%d].ports[%d]", path, i, j)
			o.checkPort(at+".containerPort", p.ContainerPort)
			o.checkProtocol(at+".protocol", p.Protocol)
		}
	}
	return !o.bad
}

func (o *object) checkPodIPs(p *corev1.Pod) bool {
	if p.Status.PodIP != "" {
		o.checkIP("status.podIP", p.Status.PodIP)
	}
	for i, ip := range p.Status.PodIPs {
		o.checkIP(fmt.Sprintf("status.podIPs[%d].ip", i), ip.IP)
	}
	return !o.bad
}

func (o *object) checkIP(path, ip string) (netip.Addr, bool) {
	a, ok := convert.Address(ip)
	if !ok {
		o.invalid(path, fmt.Sprintf("%q is not an IP address", short(ip)), "write it as 10.96.0.10 or fd00::10")
	}
	return a, ok
}

func (o *object) checkPort(path string, port int32) {
	if len(validation.IsValidPortNum(int(port))) > 0 {
		o.invalid(path, fmt.Sprintf("is %d", port), "a port is a number from 1 to 65535")
	}
}

func (o *object) checkProtocol(path string, p corev1.Protocol) {
	switch p {
	case "", corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
	default:
		o.invalid(path, fmt.Sprintf("is %q", short(string(p))), "write TCP, UDP or SCTP")
	}
}
