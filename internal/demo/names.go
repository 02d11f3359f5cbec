package demo

import (
	"net/netip"

	"github.com/fairlead/fairlead/mesh"
)

// hosts returns what cluster DNS would say (Kubernetes DNS specification, 1.1): the
// names of the Services and, for the pods of a StatefulSet, their own.
func hosts(services []*mesh.Service, pods []namedPod) map[string][]netip.Addr {
	all := map[string][]netip.Addr{}
	add := func(name string, addresses ...netip.Addr) {
		for _, suffix := range []string{"", ".svc", ".svc.cluster.local"} {
			all[name+suffix] = append(all[name+suffix], addresses...)
		}
	}
	for _, s := range services {
		name := s.Name.Name + "." + s.Name.Namespace
		if !s.Headless {
			add(name, s.Addresses...)
			continue
		}
		for _, p := range pods {
			if p.Namespace == s.Name.Namespace && p.Service == s.Name.Name {
				add(name, p.Addresses...)
				add(p.Name.Name+"."+name, p.Addresses...)
			}
		}
	}
	return all
}

// namedPod is a pod with the headless Service that names it.
type namedPod struct {
	mesh.Name
	Service   string
	Addresses []netip.Addr
}
