package convert

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

func TestProtocol(t *testing.T) {
	cases := []struct {
		app, name string
		transport corev1.Protocol
		want      mesh.Protocol
	}{
		{"", "", "", mesh.ProtocolUnspecified},
		{"", "http", "", mesh.ProtocolHTTP},
		{"", "http-admin", "TCP", mesh.ProtocolHTTP},
		{"", "HTTP2-x", "", mesh.ProtocolHTTP2},
		{"", "grpc", "", mesh.ProtocolGRPC},
		{"", "grpc-web", "", mesh.ProtocolHTTP},
		{"", "grpc-web-x", "", mesh.ProtocolHTTP},
		{"", "https", "", mesh.ProtocolTLS},
		{"", "tls-passthrough", "", mesh.ProtocolTLS},
		{"", "tcp", "", mesh.ProtocolTCP},
		{"", "mysql", "", mesh.ProtocolTCP},
		{"", "web", "", mesh.ProtocolUnspecified},
		{"", "httpx", "", mesh.ProtocolUnspecified},
		{"http", "tcp-x", "", mesh.ProtocolHTTP},
		{"HTTPS", "", "", mesh.ProtocolTLS},
		{"kubernetes.io/h2c", "", "", mesh.ProtocolHTTP2},
		{"kubernetes.io/ws", "", "", mesh.ProtocolHTTP},
		{"kubernetes.io/wss", "", "", mesh.ProtocolTLS},
		{"grpc", "http", "", mesh.ProtocolGRPC},
		{"example.com/own", "http", "", mesh.ProtocolUnspecified},
		{"http", "http", "UDP", mesh.ProtocolUDP},
		{"", "", "SCTP", mesh.ProtocolUDP},
	}
	for _, c := range cases {
		p := corev1.ServicePort{Name: c.name, Protocol: c.transport}
		if c.app != "" {
			p.AppProtocol = &c.app
		}
		if got := Protocol(p); got != c.want {
			t.Errorf("appProtocol %q, name %q, protocol %q: got %q, want %q", c.app, c.name, c.transport, got, c.want)
		}
	}
}

func TestWorkloadOf(t *testing.T) {
	cases := []struct {
		why, kind, owner, hash string
		want                   string
	}{
		{"no owner", "", "", "", "pod/shop/p"},
		{"a Deployment", "ReplicaSet", "web-6f7d", "6f7d", "deployment/shop/web"},
		{"a Deployment with dashes", "ReplicaSet", "web-a-6f7d", "6f7d", "deployment/shop/web-a"},
		{"a ReplicaSet of its own", "ReplicaSet", "web", "", "replicaset/shop/web"},
		{"a ReplicaSet of another kind of owner", "ReplicaSet", "web-abcd", "6f7d", "replicaset/shop/web-abcd"},
		{"nothing is left", "ReplicaSet", "-6f7d", "6f7d", "replicaset/shop/-6f7d"},
		{"a StatefulSet", "StatefulSet", "db", "", "statefulset/shop/db"},
		{"a Job", "Job", "load", "", "job/shop/load"},
		{"a Job of a CronJob", "Job", "backup-29512345", "", "cronjob/shop/backup"},
		{"a Job with a date", "Job", "backup-20260131", "", "job/shop/backup-20260131"},
		{"a Job with a short number", "Job", "backup-2951234", "", "job/shop/backup-2951234"},
		{"somebody's own kind", "Database", "db", "", "database/shop/db"},
	}
	for _, c := range cases {
		m := metav1.ObjectMeta{Namespace: "shop", Name: "p"}
		yes := true
		if c.kind != "" {
			m.OwnerReferences = []metav1.OwnerReference{{Kind: "Node", Name: "n"}, {Kind: c.kind, Name: c.owner, Controller: &yes}}
		}
		if c.hash != "" {
			m.Labels = map[string]string{"pod-template-hash": c.hash}
		}
		if got := WorkloadOf(&m).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.why, got, c.want)
		}
	}
}

func ref[T any](v T) *T { return &v }

// TestSliceConditions: what is not said has a meaning (EndpointSlice API,
// EndpointConditions).
func TestSliceConditions(t *testing.T) {
	cases := []struct {
		given                       discoveryv1.EndpointConditions
		ready, serving, terminating bool
	}{
		{discoveryv1.EndpointConditions{}, true, true, false},
		{discoveryv1.EndpointConditions{Ready: ref(false)}, false, false, false},
		{discoveryv1.EndpointConditions{Ready: ref(false), Serving: ref(true), Terminating: ref(true)}, false, true, true},
		{discoveryv1.EndpointConditions{Ready: ref(true), Serving: ref(false)}, true, false, false},
	}
	for _, c := range cases {
		s := Slice(&discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1", "10.0.0.2"}, Conditions: c.given}, {Addresses: []string{"host.example.com"}}, {},
		}})
		if len(s.Endpoints) != 1 || !s.Service.IsZero() {
			t.Fatalf("one address counts: %+v", s)
		}
		e := s.Endpoints[0]
		if e.Ready != c.ready || e.Serving != c.serving || e.Terminating != c.terminating {
			t.Errorf("%+v: got %v %v %v", c.given, e.Ready, e.Serving, e.Terminating)
		}
	}
}

// TestTargets: who an endpoint is, by the word of its slice.
func TestTargets(t *testing.T) {
	web := mesh.Name{Namespace: "shop", Name: "web-1"}
	cases := []struct {
		why string
		ref *corev1.ObjectReference
		pod mesh.Name
		uid string
	}{
		{"nothing", nil, mesh.Name{}, ""},
		{"a pod", &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "web-1", UID: "1"}, web, "1"},
		{"of the slice's namespace", &corev1.ObjectReference{Kind: "Pod", Name: "web-1"}, web, ""},
		{"a virtual machine", &corev1.ObjectReference{Kind: "VirtualMachine", Namespace: "shop", Name: "web-1", UID: "1"}, mesh.Name{}, ""},
		{"a pod without a name", &corev1.ObjectReference{Kind: "Pod", UID: "1"}, mesh.Name{}, ""},
	}
	for _, c := range cases {
		meta := metav1.ObjectMeta{Namespace: "shop", Name: "web"}
		slice := Slice(&discoveryv1.EndpointSlice{ObjectMeta: meta, Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}, TargetRef: c.ref},
		}})
		//lint:ignore SA1019 Endpoints are deprecated, but still written
		mirrored := Endpoints(&corev1.Endpoints{ObjectMeta: meta, Subsets: []corev1.EndpointSubset{
			{Addresses: []corev1.EndpointAddress{{IP: "10.0.0.1", TargetRef: c.ref}}},
		}})
		for _, e := range []mesh.Endpoint{slice.Endpoints[0], mirrored[0].Endpoints[0]} {
			if e.TargetPod != c.pod || e.TargetUID != c.uid {
				t.Errorf("%s: %v %q", c.why, e.TargetPod, e.TargetUID)
			}
		}
	}
}

func TestServiceAddresses(t *testing.T) {
	s := Service(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 31, 12, 0, 0, 5, time.FixedZone("", 7200)))},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1", "bad"}, ExternalIPs: []string{"::ffff:192.0.2.1", "192.0.2.1"},
			Ports: []corev1.ServicePort{{Port: 80}, {Port: 70000}},
		},
	})
	want := &mesh.Service{
		Addresses:         []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")},
		ExternalAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Ports:             []mesh.Port{{Number: 80}},
		Created:           time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, s, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPodPhases(t *testing.T) {
	now := metav1.Now()
	cases := []struct {
		why                string
		change             func(*corev1.Pod)
		ready, terminating bool
		addresses          int
	}{
		{"running", func(p *corev1.Pod) {}, true, false, 2},
		{"not ready", func(p *corev1.Pod) { p.Status.Conditions[0].Status = "False" }, false, false, 2},
		{"no condition yet", func(p *corev1.Pod) { p.Status.Conditions = nil }, false, false, 2},
		{"on its way out", func(p *corev1.Pod) { p.DeletionTimestamp = &now }, true, true, 2},
		{"its address is somebody else's", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, true, true, 0},
		{"so is this one's", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, true, true, 0},
	}
	for _, c := range cases {
		p := &corev1.Pod{Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: "True"}},
		}}
		p.Annotations = map[string]string{Injected: "true"}
		c.change(p)
		got := Pod(p)
		if got.Ready != c.ready || got.Terminating != c.terminating || len(got.Addresses) != c.addresses || !got.Meshed {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	host := Pod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{Injected: "true"}}, Spec: corev1.PodSpec{HostNetwork: true}})
	if host.Meshed || !host.HostNetwork {
		t.Errorf("the host's network has no sidecar: %+v", host)
	}
}

// TestRouteIsNotModified: the object stays as it was, and its bulk is not kept.
func TestRouteIsNotModified(t *testing.T) {
	r := &gatewayv1.HTTPRoute{}
	r.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	r.Annotations = map[string]string{"fairlead.dev/a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
	before := r.DeepCopy()
	out := HTTPRoute(r)
	if !cmp.Equal(before, r) {
		t.Error("the object was modified")
	}
	if out.HTTP.ManagedFields != nil || len(out.HTTP.Annotations) != 1 {
		t.Errorf("kept %+v", out.HTTP.ObjectMeta)
	}
}
