package manifests

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/convert"
)

func readDeployment(o *object) {
	var d appsv1.Deployment
	if decodeInto(o, &d) && o.checkTemplate("spec.template", &d.Spec.Template) &&
		o.checkSelector(d.Spec.Selector, &d.Spec.Template) {
		o.keepTemplate(convert.Deployment(&d), &d, d.Spec.Replicas)
	}
}

func readStatefulSet(o *object) {
	var s appsv1.StatefulSet
	if decodeInto(o, &s) && o.checkTemplate("spec.template", &s.Spec.Template) &&
		o.checkSelector(s.Spec.Selector, &s.Spec.Template) {
		o.keepTemplate(convert.StatefulSet(&s), &s, s.Spec.Replicas)
	}
}

func readDaemonSet(o *object) {
	var d appsv1.DaemonSet
	if decodeInto(o, &d) && o.checkTemplate("spec.template", &d.Spec.Template) &&
		o.checkSelector(d.Spec.Selector, &d.Spec.Template) {
		o.keepTemplate(convert.DaemonSet(&d), &d, nil)
	}
}

func readReplicaSet(o *object) {
	var r appsv1.ReplicaSet
	if decodeInto(o, &r) && o.checkTemplate("spec.template", &r.Spec.Template) &&
		o.checkSelector(r.Spec.Selector, &r.Spec.Template) {
		o.keepTemplate(convert.ReplicaSet(&r), &r, r.Spec.Replicas)
	}
}

func readJob(o *object) {
	var j batchv1.Job
	if decodeInto(o, &j) && o.checkTemplate("spec.template", &j.Spec.Template) {
		o.keepTemplate(convert.Job(&j), &j, j.Spec.Parallelism)
	}
}

func readCronJob(o *object) {
	var c batchv1.CronJob
	if decodeInto(o, &c) && o.checkTemplate("spec.jobTemplate.spec.template", &c.Spec.JobTemplate.Spec.Template) {
		o.keepTemplate(convert.CronJob(&c), &c, nil)
	}
}

// keepTemplate keeps the stand-in for the pods of a workload.
func (o *object) keepTemplate(p *mesh.Pod, workload metav1.Object, replicas *int32) {
	p.Source = o.at.String()
	p.Ready = true
	o.keep(entry{pod: &pod{
		Pod:   p,
		needs: true,
		none:  replicas != nil && *replicas == 0,
		owned: metav1.GetControllerOf(workload) != nil,
	}})
}

func (o *object) checkTemplate(path string, t *corev1.PodTemplateSpec) bool {
	return o.checkPod(path, &t.ObjectMeta, &t.Spec)
}

// checkSelector checks that a workload selects the pods it makes, as the API
// server would.
func (o *object) checkSelector(s *metav1.LabelSelector, t *corev1.PodTemplateSpec) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	switch {
	case s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0:
		o.invalid("spec.selector", "is missing or empty", "give it the labels of spec.template.metadata.labels")
	case err != nil:
		o.invalid("spec.selector", "cannot be read: "+err.Error(), "mend the expression")
	case !selector.Matches(labels.Set(t.Labels)):
		o.invalid("spec.selector", fmt.Sprintf("%q does not fit the labels of the template", selector),
			"make spec.selector and spec.template.metadata.labels agree")
	}
	return !o.bad
}
