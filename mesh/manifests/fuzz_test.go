package manifests

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// seeds calls add with every manifest of the golden cases.
func seeds(t testing.TB, add func([]byte)) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if isManifest(f.Name) {
				add(f.Data)
			}
		}
	}
}

// FuzzRead: whatever the input, reading it ends soon and without a panic, and what
// comes out is sound enough for a store.
func FuzzRead(f *testing.F) {
	seeds(f, func(data []byte) { f.Add(data) })
	for _, text := range hostile {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		r, err := Read(bytes.NewReader(data), "-", Options{StandIns: true, MaxDocuments: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%d bytes took %v", len(data), took)
		}
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + 2
		for _, p := range r.Problems {
			if p.Code == "" || p.Message == "" || p.Line < 0 || p.Line > lines {
				t.Errorf("problem %+v of %d lines", p, lines)
			}
		}
		store := r.Store(mesh.Settings{})
		for _, s := range store.Services() {
			for _, ip := range s.Addresses {
				if store.Owner(ip).Service.IsZero() {
					t.Errorf("nobody owns %s of %s", ip, s.Name)
				}
			}
		}
	})
}

// hostile are inputs that have brought other readers down.
var hostile = []string{
	bomb("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  affinity: *i\n"),
	"apiVersion: v1\nkind: List\nitems: &a [*a, *a]\n",
	"apiVersion: v1\nkind: Service\nmetadata: &m {<<: *m, name: a}\nspec: {<<: [*m, *m]}\n",
	"apiVersion: v1\nkind: Pod\nspec: " + strings.Repeat("{a: ", 5000) + "\n",
	`{"apiVersion": "v1", "kind": "Pod", "spec": ` + strings.Repeat("[", 100000),
	"apiVersion: v1\nkind: ServiceList\nitems:\n- &s {metadata: {name: a}, spec: {ports: [{port: 1}]}}\n" + strings.Repeat("- *s\n", 2000),
	"kind: Service\napiVersion: v1\nmetadata: {name: a}\n? [a]\n: b\n",
	"%YAML 1.2\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n...\n---\n\n",
	strings.Repeat("---\na: b\n", 3000),
	"\xff\xfe\x00", "{", "---", "- - - -", "\ufeffkind: X\n", "a: !!binary aGk=\n", "a: &x\nb: *x\n",
}

// bomb puts nine levels of nine aliases before the text.
func bomb(text string) string {
	var b strings.Builder
	before := "x"
	b.WriteString("x: &x [lol]\n")
	for _, name := range strings.Split("abcdefghi", "") {
		b.WriteString(name + ": &" + name + " [" + strings.Repeat("*"+before+", ", 9) + "]\n")
		before = name
	}
	return b.String() + text
}

// TestHostile: each of them is read in no time, and the bombs are named.
func TestHostile(t *testing.T) {
	for _, text := range hostile {
		start := time.Now()
		if _, err := Read(strings.NewReader(text), "-", Options{MaxDocuments: 1000}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.60q took %v", text, took)
		}
	}
	for _, seed := range []string{"lol", ""} {
		text := strings.Replace(bomb(""), "[lol]", "["+seed+"]", 1) + "apiVersion: v1\nkind: Pod\n" +
			"metadata: {name: a}\nspec: {containers: [{name: a, resources: {limits: {cpu: *i}}}]}\n"
		r, err := Read(strings.NewReader(text), "-", Options{})
		if err != nil || !hasCode(r.Problems, CodeTooMuch) {
			t.Errorf("a bomb of %q: %v %v", seed, r.Problems, err)
		}
	}
}

func TestBounds(t *testing.T) {
	dir := folderWith(t, map[string]string{
		"large.yaml": "# " + strings.Repeat("x", 2000) + "\n",
		"many.yaml":  strings.Repeat(serviceYAML("a", "80")+"---\n", 5),
		"list.yaml":  "apiVersion: v1\nkind: List\nitems: [" + strings.Repeat("{}, ", 10) + "]\n",
		"good.yaml":  serviceYAML("good", "80"),
	})
	r, err := Load(t.Context(), dir, Options{MaxFileSize: 1000, MaxDocuments: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"large.yaml", "many.yaml", "list.yaml"} {
		found := false
		for _, p := range r.Problems {
			found = found || p.Code == CodeTooMuch && filepath.Base(p.File) == name
		}
		if !found {
			t.Errorf("%s is beyond a bound: %v", name, r.Problems)
		}
	}
	if len(r.Batch.Services) != 1 {
		t.Errorf("the good file counts: %v", r.Batch.Services)
	}
	if _, err := Load(t.Context(), dir, Options{MaxFiles: 3}); err == nil || !strings.Contains(err.Error(), "more than 3") {
		t.Errorf("too many files: %v", err)
	}
}

// FuzzDecode holds the decoder to the API server's own strict decoder: what one
// accepts the other does, and makes the same object of it. The one difference is a
// key that overrides a merged one (<<), which is what merging is for: the parser of
// the API server takes it for a key that stands twice.
func FuzzDecode(f *testing.F) {
	seeds(f, func(data []byte) {
		for _, c := range split(data) {
			f.Add(c.data)
		}
	})
	for _, spec := range corners {
		f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  " + spec + "\n"))
	}
	// The tag "!" means nothing to us, and "text" to the other parser.
	nonSpecific := regexp.MustCompile(`!([^!\w]|$)`)
	f.Fuzz(func(t *testing.T, data []byte) {
		if nonSpecific.Match(data) {
			return
		}
		var n yaml.Node
		nodes, err := parseYAML(data)
		if err != nil || len(nodes) != 1 {
			return
		}
		n = *nodes[0]
		object := typed(text(&n, "apiVersion"), text(&n, "kind"))
		if object == nil {
			return
		}
		p := &parser{source: newSource(Options{}), file: &file{}}
		p.decoder = &decoder{schemas: &p.schemas}
		var problems []string
		p.decoder.report = func(n *yaml.Node, code Code, path, message, fix string) {
			problems = append(problems, Problem{Code: code, Line: n.Line, Field: path, Message: message, Fix: fix}.Error())
		}
		decodeValue(p.decoder, &n, object)
		object.(metav1.Object).SetManagedFields(nil)

		want, err := strictly(data)
		if bytes.Contains(data, []byte("<<")) && err != nil && strings.Contains(err.Error(), "already set") {
			return
		}
		if (err == nil) != (len(problems) == 0) {
			t.Fatalf("%s\nwe say %q\nthe API server's decoder says %v", data, problems, err)
		}
		if err == nil {
			want.(metav1.Object).SetManagedFields(nil)
			if diff := cmp.Diff(want, object); diff != "" {
				t.Errorf("%s\n(-API server +ours)\n%s", data, diff)
			}
		}
	})
}

// corners are specs of a pod in which YAML parsers and JSON decoders differ.
var corners = []string{
	"priority: 0x10", "priority: 010", "priority: 0o10", "priority: 0b11", "priority: 1_000", "priority: 08",
	"priority: +5", "priority: -5", "priority: 5.0", "priority: 5.5", "priority: 1e3", "priority: .5", "priority: 1e300",
	"priority: 2147483648", "priority: 99999999999999999999", "priority: '5'", "priority: .inf", "priority: .nan",
	"priority: null", "priority: ~", "priority:", "priority: true", "priority: []", "priority: !!int '5'", "priority: !!str 5",
	"hostNetwork: yes", "hostNetwork: 'yes'", "hostNetwork: off", "hostNetwork: N", "hostNetwork: TRUE", "hostNetwork: 1",
	"hostNetwork: !!bool yes", "hostNetwork: oui",
	"nodeName: 1", "nodeName: '1'", "nodeName: on", "nodeName: 2024-01-01", "nodeName: 2024-01-01T00:00:00Z", "nodeName: null",
	"nodeName: 1.5", "nodeName: 0x1", "nodeName: 1:30", "nodeName: !!str on", "nodeName: !foo bar", "nodeName: <<", "nodeName: =",
	"nodeName: |\n    a\n    b", "nodeName: >-\n    a\n    b", "nodeName: {}", "nodeName: \"\\u00e9\\n\"", "nodeName: !!binary aGk=",
	"nodeName: .inf", "nodeName: 1e3", "nodeName: ''", "nodeName: \"\"", "nodeName: Null", "nodeName: 0777", "nodeName: 1_0",
	"nodeSelector: {a: b, a: c}", "nodeSelector: {1: b}", "nodeSelector: {yes: b}", "nodeSelector: {1.5: b}", "nodeSelector: {0021108: b}", "nodeSelector: {1e3: b}", "nodeSelector: {a: 1}",
	"nodeSelector: {a: }", "nodeSelector: {~: b}", "nodeSelector: {'<<': b}", "nodeSelector: {0x1: b}", "nodeSelector: {a: !!str 1}",
	"nodeSelector: {}", "nodeSelector: []", "nodeSelector: null", "nodeSelector: {? {a: b} : c}", "nodeSelector: {2024-01-01: b}",
	"nodeSelector: &a {x: y}\n  overhead: *a", "nodeSelector: {<<: {a: b}, d: c}",
	"nodeSelector: {<<: [{a: b}, {e: f}]}", "nodeSelector: {<<: 1}", "nodeSelector: {<<: {a: 1}}", "nodeSelector: {<<: {a: b}, <<: {c: d}}",
	"overhead: {cpu: 1}", "overhead: {cpu: 0.5}", "overhead: {cpu: 100m}", "overhead: {cpu: 1e3}", "overhead: {cpu: '1'}",
	"overhead: {cpu: .5}", "overhead: {cpu: lots}", "overhead: {cpu: }", "overhead: {cpu: yes}", "overhead: {cpu: 0x10}",
	"overhead: {memory: 1_000}", "overhead: {memory: [1]}",
	"containers: [{name: a, livenessProbe: {httpGet: {port: 80}}}]", "containers: [{name: a, livenessProbe: {httpGet: {port: web}}}]",
	"containers: [{name: a, livenessProbe: {httpGet: {port: '80'}}}]", "containers: [{name: a, livenessProbe: {httpGet: {port: 80.0}}}]",
	"containers: [{name: a, livenessProbe: {httpGet: {port: }}}]", "containers: [{name: a, livenessProbe: {httpGet: {port: {}}}}]",
	"containers: [{name: a, livenessProbe: {httpGet: {port: 99999999999}}}]", "containers: [{name: a, livenessProbe: {exec: {}}}]",
	"containers: [null]", "containers: [{}]", "containers: {}", "containers: [a]", "containers: [[]]", "containers: null", "containers: []",
	"containers: [{name: a, Name: b}]", "containers: [{nAme: a}]", "volumes: [{name: a, emptyDir: {}}]", "volumes: [{name: a, volumeSource: {}}]",
	"volumes: [{name: a, configMap: {name: b, optional: true, defaultMode: 0644}}]", "volumes: [{name: a, VolumeSource: {}}]",
	"activeDeadlineSeconds: 9223372036854775807", "activeDeadlineSeconds: 9223372036854775808", "activeDeadlineSeconds: 9007199254740993",
	"activeDeadlineSeconds: -9223372036854775808", "activeDeadlineSeconds: 1e18", "activeDeadlineSeconds: 0xffffffffffffffff",
	"tolerations: [{key: a, operator: Exists}]\nstatus: {startTime: 2024-01-01T00:00:00Z}", "x: y\nstatus: {startTime: 2024-01-01}",
	"nodeName: a\nstatus: {startTime: '2024-01-01T00:00:00+02:00'}", "nodeName: a\nstatus: {startTime: null}", "nodeName: a\nstatus: {startTime: 5}",
	"nodeName: a\nmanagedFields: []", "nodeName: a\nkind: Pod", "nodeName: a\nstatus: {hostIPs: [{ip: 1}]}",
}

// typed returns an empty object of one of the kinds that are read.
func typed(apiVersion, kind string) any {
	meta := metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
	object, err := scheme().New(meta.GroupVersionKind())
	if err != nil {
		return nil
	}
	return object
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Service{}, &corev1.Pod{}, &corev1.Namespace{}, &corev1.ServiceAccount{})
	s.AddKnownTypes(appsv1.SchemeGroupVersion, &appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &appsv1.ReplicaSet{})
	s.AddKnownTypes(batchv1.SchemeGroupVersion, &batchv1.Job{}, &batchv1.CronJob{})
	s.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{})
	s.AddKnownTypes(k8sschema.GroupVersion{Group: gatewayv1.GroupName, Version: "v1"}, &gatewayv1.HTTPRoute{}, &gatewayv1.GRPCRoute{})
	return s
}

// strictly decodes with the serializer of apimachinery.
func strictly(data []byte) (runtime.Object, error) {
	s := scheme()
	serializer := json.NewSerializerWithOptions(json.DefaultMetaFactory, s, s, json.SerializerOptions{Yaml: true, Strict: true})
	object, _, err := serializer.Decode(data, nil, nil)
	return object, err
}
