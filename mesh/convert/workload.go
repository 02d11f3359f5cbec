package convert

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead/fairlead/mesh"
)

// WorkloadOf says which workload made the pod with this metadata: its controller,
// or the controller's own controller where the names tell: the Deployment of a
// ReplicaSet, the CronJob of a Job. Without a controller the pod is its own
// workload.
func WorkloadOf(pod *metav1.ObjectMeta) mesh.Workload {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return mesh.Workload{Kind: "Pod", Name: name(pod)}
	}
	kind, of := owner.Kind, owner.Name
	switch owner.Kind {
	case "ReplicaSet":
		if d, ok := deploymentOf(of, pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]); ok {
			kind, of = "Deployment", d
		}
	case "Job":
		if c, ok := cronJobOf(of); ok {
			kind, of = "CronJob", c
		}
	}
	return mesh.Workload{Kind: kind, Name: mesh.Name{Namespace: pod.Namespace, Name: of}}
}

// deploymentOf cuts "-<pod-template-hash>" from the name of a ReplicaSet.
func deploymentOf(replicaSet, hash string) (string, bool) {
	d, ok := strings.CutSuffix(replicaSet, "-"+hash)
	return d, ok && hash != "" && d != ""
}

// firstCronMinute is earlier than any Job that the CronJob controller has named
// after the minute of its schedule (since Kubernetes 1.21, April 2021), and later
// than any date written as 20260131 would be.
const firstCronMinute = 26_000_000

// cronJobOf cuts "-<minutes since 1970>" from the name of a Job.
func cronJobOf(job string) (string, bool) {
	i := strings.LastIndexByte(job, '-')
	if i < 1 || len(job)-i-1 != 8 {
		return "", false
	}
	minutes, err := strconv.ParseUint(job[i+1:], 10, 32)
	return job[:i], err == nil && minutes >= firstCronMinute
}

// Template converts the pod template of a workload into the stand-in for its
// pods. The stand-in has the workload's name and namespace, no UID and no address.
func Template(kind string, workload *metav1.ObjectMeta, t *corev1.PodTemplateSpec) *mesh.Pod {
	m := t.ObjectMeta
	m.Namespace, m.Name = workload.Namespace, workload.Name
	out := pod(&m, &t.Spec)
	out.Workload = mesh.Workload{Kind: kind, Name: name(workload)}
	out.Template = true
	return out
}

// Deployment converts a Deployment's template; see Template.
func Deployment(d *appsv1.Deployment) *mesh.Pod {
	return Template("Deployment", &d.ObjectMeta, &d.Spec.Template)
}

// StatefulSet converts a StatefulSet's template; see Template.
func StatefulSet(s *appsv1.StatefulSet) *mesh.Pod {
	return Template("StatefulSet", &s.ObjectMeta, &s.Spec.Template)
}

// DaemonSet converts a DaemonSet's template; see Template.
func DaemonSet(d *appsv1.DaemonSet) *mesh.Pod {
	return Template("DaemonSet", &d.ObjectMeta, &d.Spec.Template)
}

// ReplicaSet converts a ReplicaSet's template; see Template.
func ReplicaSet(r *appsv1.ReplicaSet) *mesh.Pod {
	return Template("ReplicaSet", &r.ObjectMeta, &r.Spec.Template)
}

// Job converts a Job's template; see Template.
func Job(j *batchv1.Job) *mesh.Pod {
	return Template("Job", &j.ObjectMeta, &j.Spec.Template)
}

// CronJob converts a CronJob's template; see Template.
func CronJob(c *batchv1.CronJob) *mesh.Pod {
	return Template("CronJob", &c.ObjectMeta, &c.Spec.JobTemplate.Spec.Template)
}
