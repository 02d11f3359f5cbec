package injector

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); rewrite it with -update\n%s", file, diff)
	}
}

// The whole text as the kubelet gets it. Other cases show only what differs.
func TestBootstrapForTheKubelet(t *testing.T) {
	text, err := Bootstrap(BootstrapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "bootstrap.yaml", text)
	const argument = 128 << 10 // bytes that one argument of a process may have on Linux
	if len(text) > argument/4 {
		t.Errorf("the text has %d bytes of the %d that an argument holds, and a pod's probes come on top", len(text), argument)
	}
}

// parse reads a bootstrap as Envoy does.
func parse(t *testing.T, text []byte) *bootstrapv3.Bootstrap {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var b bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(asJSON, &b); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return &b
}

func TestBootstrapOptions(t *testing.T) {
	for _, c := range []struct {
		name    string
		options BootstrapOptions
		want    string // of summary
		err     string // the option that the error names
	}{
		{
			name:    "a node by value, a control plane by address",
			options: BootstrapOptions{PodName: "web-1", PodNamespace: "shop", PodUID: "u", NodeName: "n", ControlPlane: "10.244.0.1:15012", ControlPlaneName: "fairlead"},
			want:    "shop/web-1 STATIC 10.244.0.1:15012 DNS:fairlead sni=fairlead /etc/fairlead/token.sds.yaml 0.0.0.0",
		}, {
			name:    "a certificate for an IPv6 address has no server name",
			options: BootstrapOptions{PodName: "web-1", PodNamespace: "shop", PodUID: "u", NodeName: "n", ControlPlane: "[fd00::1]:15012", IPv6: true, ConfigDir: "/run/x/"},
			want:    "shop/web-1 STATIC fd00::1:15012 IP_ADDRESS:fd00::1 sni= /run/x/token.sds.yaml ::",
		}, {
			name:    "a dollar is doubled where the kubelet expands",
			options: BootstrapOptions{PodNamespace: "$(HOME)", ConfigDir: "/$(HOME)"},
			want:    "$$(HOME)/$(POD_NAME) DNS fairlead.fairlead-system.svc.cluster.local:15012 DNS:fairlead.fairlead-system.svc.cluster.local sni=fairlead.fairlead-system.svc.cluster.local /$$(HOME)/token.sds.yaml 0.0.0.0",
		}, {
			name:    "and left alone where nobody does",
			options: BootstrapOptions{PodName: "$(HOME)", PodNamespace: "shop", PodUID: "u", NodeName: "n", ControlPlane: "cp:1"},
			want:    "shop/$(HOME) DNS cp:1 DNS:cp sni=cp /etc/fairlead/token.sds.yaml 0.0.0.0",
		}, {
			name:    "names that YAML or JSON would read as something else",
			options: BootstrapOptions{PodName: "\"}, admin: {x: \n- !!binary 'y' # \\", PodNamespace: "null", PodUID: "1e3", NodeName: "\u2028", ControlPlane: "cp:1"},
			want:    "null/\"}, admin: {x: \n- !!binary 'y' # \\ DNS cp:1 DNS:cp sni=cp /etc/fairlead/token.sds.yaml 0.0.0.0",
		},
		{name: "no port", options: BootstrapOptions{ControlPlane: "fairlead"}, err: "ControlPlane"},
		{name: "no host", options: BootstrapOptions{ControlPlane: ":15012"}, err: "ControlPlane"},
		{name: "port too high", options: BootstrapOptions{ControlPlane: "a:65536"}, err: "ControlPlane"},
		{name: "relative folder", options: BootstrapOptions{ConfigDir: "etc"}, err: "ConfigDir"},
		{name: "not UTF-8", options: BootstrapOptions{PodName: "\xff"}, err: "UTF-8"},
		{name: "NUL", options: BootstrapOptions{PodName: "a\x00"}, err: "NUL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := Bootstrap(c.options)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error is %v, it should speak of %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, summary(t, parse(t, text))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// summary shows what options change.
func summary(t *testing.T, b *bootstrapv3.Bootstrap) string {
	t.Helper()
	text := protojson.Format(b.StaticResources.Clusters[0])
	asMap := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &asMap); err != nil {
		t.Fatal(err)
	}
	at := func(path ...any) any {
		var v any = asMap
		for _, step := range path {
			switch s := step.(type) {
			case string:
				v = v.(map[string]any)[s]
			case int:
				v = v.([]any)[s]
			}
		}
		return v
	}
	address := b.StaticResources.Clusters[0].LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().Address.GetSocketAddress()
	tls := at("transportSocket", "typedConfig").(map[string]any)
	san := at("transportSocket", "typedConfig", "commonTlsContext", "combinedValidationContext", "defaultValidationContext", "matchTypedSubjectAltNames", 0).(map[string]any)
	sni, _ := tls["sni"].(string)
	token := at("typedExtensionProtocolOptions", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "httpFilters", 0, "typedConfig",
		"credential", "typedConfig", "credential", "sdsConfig", "pathConfigSource", "path").(string)
	discovery := b.StaticResources.Clusters[0].GetType().String()
	if b.StaticResources.Clusters[0].GetClusterType().GetName() == "envoy.clusters.dns" {
		discovery = "DNS"
	}
	var out bytes.Buffer
	for i, s := range []string{
		b.Node.Id, discovery,
		address.Address + ":" + fmt.Sprint(address.GetPortValue()),
		san["sanType"].(string) + ":" + san["matcher"].(map[string]any)["exact"].(string), "sni=" + sni,
		token, b.StaticResources.Listeners[0].Address.GetSocketAddress().Address,
	} {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(s)
	}
	return out.String()
}

// Whatever an option holds, the text means that string and nothing else.
func FuzzBootstrap(f *testing.F) {
	f.Add("web", "shop", "/etc/fairlead")
	f.Add("$(X)", "a: b\n", "/\"'{}[]#&*!|>%@`")
	f.Add("~", "\u0085\u2028", "/\t")
	f.Fuzz(func(t *testing.T, pod, namespace, dir string) {
		text, err := Bootstrap(BootstrapOptions{PodName: pod, PodNamespace: namespace, PodUID: "u", NodeName: "n", ConfigDir: dir})
		if err != nil || pod == "" || namespace == "" {
			return
		}
		asJSON, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		var b bootstrapv3.Bootstrap
		if err := protojson.Unmarshal(asJSON, &b); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if got := b.Node.Id; got != namespace+"/"+pod {
			t.Fatalf("node id %q, want %q", got, namespace+"/"+pod)
		}
	})
}

func TestSDSFiles(t *testing.T) {
	golden(t, "token.sds.yaml", TokenSDS(""))
	golden(t, "root.sds.yaml", RootSDS(""))
	if got := string(TokenSDS(`/a"b`)); !strings.Contains(got, `"/a\"b/token"`) {
		t.Errorf("quotes are not escaped: %s", got)
	}
}
