package manifests

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// addSlices adds the slices that the folder holds, and derives those of the other
// Services from their selectors, as the EndpointSlice controller does.
func (a *assembly) addSlices() {
	written := map[mesh.Name]bool{}
	for _, e := range a.listSlices {
		for _, s := range e.slices {
			a.slices[s.Name] = s
			written[s.Service] = true
		}
	}
	pods := newPodIndex(a.allPods)
	for _, e := range a.listServices {
		s := a.services[e.name]
		if len(s.Selector) == 0 || s.ExternalName != "" || written[s.Name] {
			continue
		}
		for _, slice := range derive(s, e.service.endpointFamilies(s), pods.matching(s)) {
			a.slices[slice.Name] = slice
		}
	}
}

// endpointFamilies says of which families a Service has endpoints: those of its
// cluster IPs, or those it asks for; all, if it is headless and does not say.
func (s *service) endpointFamilies(final *mesh.Service) []family {
	var out []family
	for _, ip := range final.Addresses {
		out = append(out, familyOf(ip))
	}
	if len(out) == 0 {
		out = asked(s.families)
	}
	if len(out) == 0 {
		return []family{ipv4, ipv6}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// derive makes the slices of a Service: one per family, and per set of port numbers
// where a named target port has different numbers in different pods.
func derive(s *mesh.Service, families []family, pods []*mesh.Pod) []*mesh.Slice {
	var out []*mesh.Slice
	for _, f := range families {
		groups := map[string]*mesh.Slice{}
		for _, p := range pods {
			ip, ok := addressOf(p, f)
			if !ok {
				continue
			}
			ports := endpointPorts(s, p)
			key := portsKey(ports)
			slice := groups[key]
			if slice == nil {
				slice = &mesh.Slice{Name: sliceName(s.Name, f, len(groups)), Service: s.Name, Ports: ports, Source: s.Source}
				groups[key] = slice
				out = append(out, slice)
			}
			slice.Endpoints = append(slice.Endpoints, derived(s, p, ip))
		}
	}
	return out
}

// sliceName is one that no EndpointSlice of a folder can have.
func sliceName(s mesh.Name, f family, n int) mesh.Name {
	s.Name += "~ipv" + strconv.Itoa(int(f))
	if n > 0 {
		s.Name += "-" + strconv.Itoa(n)
	}
	return s
}

func addressOf(p *mesh.Pod, f family) (netip.Addr, bool) {
	i := slices.IndexFunc(p.Addresses, func(a netip.Addr) bool { return familyOf(a) == f })
	if i < 0 {
		return netip.Addr{}, false
	}
	return p.Addresses[i], true
}

// derived is the endpoint of a pod, with conditions as in KEP-1672.
func derived(s *mesh.Service, p *mesh.Pod, ip netip.Addr) mesh.Endpoint {
	return mesh.Endpoint{
		Address:     ip,
		Ready:       s.PublishNotReady || p.Ready && !p.Terminating,
		Serving:     p.Ready,
		Terminating: p.Terminating,
		Node:        p.Node,
		Zone:        p.Zone,
		TargetPod:   p.Name,
		TargetUID:   p.UID,
	}
}

// endpointPorts resolves the target ports of a Service on a pod. A name that no
// container of the pod has is left out.
func endpointPorts(s *mesh.Service, p *mesh.Pod) []mesh.EndpointPort {
	var out []mesh.EndpointPort
	for _, port := range s.Ports {
		if port.Protocol == mesh.ProtocolUDP {
			continue
		}
		if n := targetPort(port, p); n != 0 {
			out = append(out, mesh.EndpointPort{Name: port.Name, Number: n})
		}
	}
	return out
}

func targetPort(port mesh.Port, p *mesh.Pod) uint16 {
	if port.TargetPort == "" {
		return port.Number
	}
	if n, err := strconv.ParseUint(port.TargetPort, 10, 16); err == nil {
		return uint16(n)
	}
	for _, c := range p.Ports {
		if c.Name == port.TargetPort && !c.UDP {
			return c.Number
		}
	}
	return 0
}

func portsKey(ports []mesh.EndpointPort) string {
	var b strings.Builder
	for _, p := range ports {
		b.WriteString(p.Name + ":" + strconv.Itoa(int(p.Number)) + " ")
	}
	return b.String()
}

// podIndex finds pods by their labels.
type podIndex map[label][]*mesh.Pod

type label struct{ key, value string }

// newPodIndex lists the pods that can be endpoints. The list is sorted.
func newPodIndex(list []entry) podIndex {
	index := podIndex{}
	for _, e := range list {
		if e.pod.none || len(e.pod.Addresses) == 0 {
			continue
		}
		for k, v := range e.pod.Labels {
			l := label{k, v}
			index[l] = append(index[l], e.pod.Pod)
		}
	}
	return index
}

// matching returns the pods that a Service selects, in the order of the list.
func (x podIndex) matching(s *mesh.Service) []*mesh.Pod {
	var fewest []*mesh.Pod
	first := true
	for k, v := range s.Selector {
		if list := x[label{k, v}]; first || len(list) < len(fewest) {
			fewest, first = list, false
		}
	}
	var out []*mesh.Pod
	for _, p := range fewest {
		if contains(p.Labels, s.Selector) {
			out = append(out, p)
		}
	}
	return out
}
