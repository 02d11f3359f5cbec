package manifests

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/convert"
)

// The label of namespaces, and label or annotation of pods, that asks for a
// sidecar.
const (
	inject         = convert.Prefix + "inject"
	injectEnabled  = "enabled"
	injectDisabled = "disabled"
)

// addPods adds the pods, and a stand-in for every workload that has none.
func (a *assembly) addPods() {
	owners := newAdoption(a.templates)
	names := map[mesh.Name]bool{}
	var list []entry
	for _, e := range a.listPods {
		p := *e.pod.Pod
		owners.adopt(&p)
		names[p.Name] = true
		list = append(list, a.finished(e, &p))
	}
	for _, e := range a.templates {
		if owners.has[e.pod.Workload] {
			continue
		}
		p := *e.pod.Pod
		if names[p.Name] { // of another workload, or of a pod that is not this one's
			p.Name.Name += "-" + strings.ToLower(p.Workload.Kind)
		}
		names[p.Name] = true
		list = append(list, a.finished(e, &p))
	}
	if a.options.StandIns {
		a.addStandIns(list)
	}
	for _, e := range list {
		a.pods[e.pod.Name] = e.pod.Pod
	}
	a.allPods = list
}

// finished fills in what injector and API server would.
func (a *assembly) finished(e entry, p *mesh.Pod) entry {
	if p.UID == "" {
		p.UID = uid(e.kind, e.name)
	}
	p.Meshed = p.Meshed || a.wouldInject(p)
	x := *e.pod
	x.Pod = p
	e.pod = &x
	return e
}

// wouldInject says whether the pod would get a sidecar: the pod's own word counts
// (its label before its annotation), then its namespace's. A pod on the host's
// network never gets one.
func (a *assembly) wouldInject(p *mesh.Pod) bool {
	if p.HostNetwork {
		return false
	}
	word := cmp.Or(p.Labels[inject], p.Annotations[inject])
	if word == "" && a.namespace != nil {
		word = a.namespace.Labels[inject]
	}
	return word == injectEnabled
}

// addStandIns gives addresses to the pods without one. IPv6 is added where any
// Service of the namespace uses it.
func (a *assembly) addStandIns(list []entry) {
	families := familiesOf(a.options.PodRanges)
	if len(families) > 1 && !a.usesIPv6() {
		families = slices.DeleteFunc(families, func(f family) bool { return f == ipv6 })
	}
	for _, e := range list {
		if e.pod.needs {
			e.pod.Addresses = a.addresses(e, families)
		}
	}
}

func (a *assembly) usesIPv6() bool {
	for _, s := range a.services {
		for _, ip := range s.Addresses {
			if ip.Is6() {
				return true
			}
		}
	}
	return slices.ContainsFunc(a.listServices, func(e entry) bool { return slices.Contains(e.service.families, "IPv6") })
}

// adoption finds the workload of pods that have no controller but fit a template,
// as the controllers adopt orphans.
type adoption struct {
	templates []*mesh.Pod            // the most demanding first
	has       map[mesh.Workload]bool // which workloads have pods
}

func newAdoption(templates []entry) *adoption {
	a := &adoption{has: map[mesh.Workload]bool{}}
	for _, e := range templates {
		if len(e.pod.Labels) > 0 {
			a.templates = append(a.templates, e.pod.Pod)
		}
	}
	slices.SortStableFunc(a.templates, func(x, y *mesh.Pod) int { return cmp.Compare(len(y.Labels), len(x.Labels)) })
	return a
}

func (a *adoption) adopt(p *mesh.Pod) {
	if p.Workload.Kind == "Pod" {
		for _, t := range a.templates {
			if contains(p.Labels, t.Labels) {
				p.Workload = t.Workload
				break
			}
		}
	}
	a.has[p.Workload] = true
}

// contains reports that labels has all of want.
func contains(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// compareWorkloads orders by name, and of two workloads of one name puts the one
// first that people mean by it.
func compareWorkloads(a, b entry) int {
	order := []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"}
	return cmp.Or(a.name.Compare(b.name), cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind)))
}
