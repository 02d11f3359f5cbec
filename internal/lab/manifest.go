package lab

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// InjectedAnnotation marks a pod that has a sidecar.
const InjectedAnnotation = "fairlead.dev/injected"

// Manifest is the pod as the API server would show it: running and ready.
func (p *Pod) Manifest() *corev1.Pod {
	s := p.Spec
	m := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: types.UID(p.UID),
			Labels: maps.Clone(s.Labels), Annotations: maps.Clone(s.Annotations),
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: s.ServiceAccount, NodeName: "lab",
			Containers: []corev1.Container{{Name: "app", Image: "lab"}},
		},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			PodIP:      p.Address().String(),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	if s.Owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*s.Owner}
	}
	if s.Meshed {
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[InjectedAnnotation] = "true"
	}
	for _, name := range slices.Sorted(maps.Keys(s.Ports)) {
		m.Spec.Containers[0].Ports = append(m.Spec.Containers[0].Ports,
			corev1.ContainerPort{Name: name, ContainerPort: int32(s.Ports[name])})
	}
	for _, a := range s.Addresses {
		m.Status.PodIPs = append(m.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	return m
}

// WriteManifest writes Manifest to a file of its own in dir, in place of the one
// that it wrote before, and returns its path. A reader sees the old or the new one,
// never a part.
func (p *Pod) WriteManifest(dir string) (string, error) {
	text, err := yaml.Marshal(p.Manifest())
	if err != nil {
		return "", fmt.Errorf("lab: manifest of pod %s: %w", p.Key(), err)
	}
	file := filepath.Join(dir, "pod-"+p.Spec.Namespace+"_"+p.Spec.Name+".yaml")
	// The dot keeps it from being read as a manifest.
	temporary := filepath.Join(dir, "."+filepath.Base(file)+".new")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return "", err
	}
	return file, os.Rename(temporary, file)
}
