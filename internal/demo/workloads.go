package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// replica is one pod that a Deployment or a StatefulSet asks for.
type replica struct {
	namespace, name string
	account         string
	labels          map[string]string
	owner           metav1.OwnerReference
	ports           map[string]uint16
	args            []string
	// service is the headless Service that names the pod in DNS (StatefulSet only).
	service string
}

// workload holds the fields that Deployment and StatefulSet share.
type workload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Replicas    *int32                 `json:"replicas"`
		ServiceName string                 `json:"serviceName"`
		Template    corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

// replicas reads the manifests and returns the pods that their workloads ask for.
func replicas(manifests fs.FS) ([]replica, error) {
	files, err := manifestFiles(manifests)
	if err != nil {
		return nil, err
	}
	var all []replica
	for _, file := range files {
		text, err := fs.ReadFile(manifests, file)
		if err != nil {
			return nil, err
		}
		for docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			var w workload
			if err == nil {
				err = yaml.Unmarshal(doc, &w)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			pods, err := w.replicas()
			if err != nil {
				return nil, fmt.Errorf("%s: %s %s/%s: %w", file, w.Kind, w.Namespace, w.Name, err)
			}
			all = append(all, pods...)
		}
	}
	return all, nil
}

// manifestFiles lists the YAML files of the top folder.
func manifestFiles(manifests fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(manifests, ".")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if ext := path.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, e.Name())
		}
	}
	if len(files) == 0 {
		return nil, errors.New("there is no .yaml file among the examples; name a folder like examples/shop")
	}
	return files, nil
}

// replicas returns the pods of one workload; none if it is something else.
func (w *workload) replicas() ([]replica, error) {
	if w.Kind != "Deployment" && w.Kind != "StatefulSet" {
		return nil, nil
	}
	spec := &w.Spec.Template.Spec
	if len(spec.Containers) != 1 {
		return nil, fmt.Errorf("spec.template.spec.containers has %d entries, the demo starts one", len(spec.Containers))
	}
	first := replica{
		namespace: w.Namespace,
		account:   spec.ServiceAccountName,
		labels:    maps.Clone(w.Spec.Template.Labels),
		ports:     map[string]uint16{},
		args:      spec.Containers[0].Args,
		owner:     metav1.OwnerReference{APIVersion: "apps/v1", Kind: w.Kind, Name: w.Name, Controller: new(true)},
	}
	for _, p := range spec.Containers[0].Ports {
		first.ports[p.Name] = uint16(p.ContainerPort)
	}
	number := 0 // of the first pod
	if w.Kind == "Deployment" {
		number = 1
		first.ownedByReplicaSet(w)
	} else {
		first.service = w.Spec.ServiceName
	}
	count := 1
	if w.Spec.Replicas != nil {
		count = int(*w.Spec.Replicas)
	}
	var all []replica
	for i := range count {
		r := first
		r.name = w.Name + "-" + strconv.Itoa(number+i)
		all = append(all, r)
	}
	return all, nil
}

// ownedByReplicaSet puts the ReplicaSet in between that a Deployment makes.
func (r *replica) ownedByReplicaSet(w *workload) {
	h := fnv.New32a()
	text, err := yaml.Marshal(w.Spec.Template)
	if err != nil {
		panic(err) // it was read from YAML
	}
	h.Write(text)
	hash := strconv.FormatUint(uint64(h.Sum32()), 36)
	if r.labels == nil {
		r.labels = map[string]string{}
	}
	r.labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	r.owner.Kind, r.owner.Name = "ReplicaSet", w.Name+"-"+hash
}

// port is the lowest port that the container declares, 0 if none.
func (r *replica) port() uint16 {
	if len(r.ports) == 0 {
		return 0
	}
	return slices.Min(slices.Collect(maps.Values(r.ports)))
}
