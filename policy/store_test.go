package policy_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/mesh/convert"
	"github.com/fairlead/fairlead/policy"
)

var _ policy.Lister = (*mesh.Store)(nil)

// load makes a store of the YAML documents. A kind "Settings" is the mesh's own.
func load(t testing.TB, text string) *mesh.Store {
	t.Helper()
	var batch mesh.Batch
	line := 1
	for _, doc := range strings.SplitAfter("\n"+text, "\n---\n") {
		if err := decode(&batch, strings.TrimSuffix(doc, "---\n"), fmt.Sprintf("in.yaml:%d", line)); err != nil {
			t.Fatalf("in.yaml:%d: %v", line, err)
		}
		line += strings.Count(doc, "\n")
	}
	var settings mesh.Settings
	if batch.Settings != nil {
		settings = *batch.Settings
	}
	store := mesh.NewStore(settings)
	store.Apply(batch)
	return store
}

func decode(batch *mesh.Batch, doc, source string) error {
	var meta struct{ Kind string }
	if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
		return err
	}
	into := func(object any) error { return yaml.UnmarshalStrict([]byte(doc), object) }
	switch meta.Kind {
	case "Service":
		var s corev1.Service
		if err := into(&s); err != nil {
			return err
		}
		service := convert.Service(&s)
		service.Source = source
		batch.Services = append(batch.Services, service)
	case "EndpointSlice":
		var s discoveryv1.EndpointSlice
		if err := into(&s); err != nil {
			return err
		}
		batch.Slices = append(batch.Slices, convert.Slice(&s))
	case "Pod":
		var p corev1.Pod
		if err := into(&p); err != nil {
			return err
		}
		batch.Pods = append(batch.Pods, convert.Pod(&p))
	case "HTTPRoute":
		var r gatewayv1.HTTPRoute
		if err := into(&r); err != nil {
			return err
		}
		route := convert.HTTPRoute(&r)
		route.Source = source
		batch.Routes = append(batch.Routes, route)
	case "GRPCRoute":
		var r gatewayv1.GRPCRoute
		if err := into(&r); err != nil {
			return err
		}
		route := convert.GRPCRoute(&r)
		route.Source = source
		batch.Routes = append(batch.Routes, route)
	case "Deployment":
		var d appsv1.Deployment
		if err := into(&d); err != nil {
			return err
		}
		pod := convert.Deployment(&d)
		pod.Meshed = d.Spec.Template.Annotations["fairlead.dev/injected"] == "true"
		batch.Pods = append(batch.Pods, pod)
	case "Settings":
		var s struct {
			Kind             string
			ServerFirstPorts []uint16
		}
		if err := into(&s); err != nil {
			return err
		}
		batch.Settings = &mesh.Settings{ServerFirstPorts: s.ServerFirstPorts}
	default:
		return fmt.Errorf("kind %q is not for these tests", meta.Kind)
	}
	return nil
}
