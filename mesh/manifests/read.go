package manifests

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/convert"
)

// The functions in this file read one kind each: decode, check, convert, keep.

func readNamespace(o *object) {
	var n corev1.Namespace
	if decodeInto(o, &n) && o.checkInject("metadata.labels", n.Labels) {
		o.keep(entry{namespace: convert.Namespace(&n)})
	}
}

func readServiceAccount(o *object) {
	var a corev1.ServiceAccount
	if decodeInto(o, &a) {
		o.keep(entry{account: convert.ServiceAccount(&a)})
	}
}

func readService(o *object) {
	var s corev1.Service
	if !decodeInto(o, &s) || !o.checkService(&s) {
		return
	}
	out := convert.Service(&s)
	out.Source = o.at.String()
	kept := &service{Service: out, families: s.Spec.IPFamilies}
	kept.wants = s.Spec.Type != corev1.ServiceTypeExternalName && !out.Headless && len(out.Addresses) == 0
	if s.Spec.IPFamilyPolicy != nil {
		kept.policy = *s.Spec.IPFamilyPolicy
	}
	o.keep(entry{service: kept})
}

func readEndpointSlice(o *object) {
	var s discoveryv1.EndpointSlice
	if !decodeInto(o, &s) || !o.checkEndpointSlice(&s) {
		return
	}
	out := convert.Slice(&s)
	out.Source = o.at.String()
	o.keep(entry{slices: []*mesh.Slice{out}})
}

func readEndpoints(o *object) {
	//lint:ignore SA1019 Endpoints are deprecated, but people's folders hold them
	var e corev1.Endpoints
	if !decodeInto(o, &e) || !o.checkEndpoints(&e) {
		return
	}
	out := convert.Endpoints(&e)
	for _, s := range out {
		s.Source = o.at.String()
	}
	o.keep(entry{slices: out})
}

func readPod(o *object) {
	var p corev1.Pod
	if !decodeInto(o, &p) || !o.checkPod("", &p.ObjectMeta, &p.Spec) || !o.checkPodIPs(&p) {
		return
	}
	out := convert.Pod(&p)
	out.Source = o.at.String()
	if p.Status.Phase == "" && len(p.Status.Conditions) == 0 {
		out.Ready = p.DeletionTimestamp == nil // a manifest that nobody has run
	}
	final := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	o.keep(entry{pod: &pod{Pod: out, needs: !final && len(out.Addresses) == 0}})
}

func readHTTPRoute(o *object) {
	var r gatewayv1.HTTPRoute
	if decodeInto(o, &r) {
		o.keepRoute(convert.HTTPRoute(&r))
	}
}

func readGRPCRoute(o *object) {
	var r gatewayv1.GRPCRoute
	if decodeInto(o, &r) {
		o.keepRoute(convert.GRPCRoute(&r))
	}
}

func (o *object) keepRoute(r *mesh.Route) {
	r.Source = o.at.String()
	o.keep(entry{route: r})
}

// checkInject checks the value of the label or annotation fairlead.dev/inject.
func (o *object) checkInject(path string, m map[string]string) bool {
	if v, ok := m[inject]; ok && v != injectEnabled && v != injectDisabled {
		o.report(o.lineOf(path), CodeInvalid, path+"["+inject+"]",
			fmt.Sprintf("is %q", short(v)), "write "+injectEnabled+" or "+injectDisabled)
	}
	return !o.bad
}
