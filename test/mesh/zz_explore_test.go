package mesh_test

import (
	"fmt"
	"testing"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

func TestZZ(t *testing.T) {
	m := meshtest.New(t)
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	old := m.Pod(lab.PodSpec{Namespace: "shop", Name: "old", ServiceAccount: "old", Meshed: true})
	fresh := m.Pod(lab.PodSpec{Namespace: "shop", Name: "fresh", ServiceAccount: "fresh", Meshed: true})
	old.Serve(8080, nil)
	fresh.Serve(8080, nil)
	manifest := func(name, sel string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec:
  clusterIP: 10.96.50.1
  selector: {app: %s}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 7000}]
`, name, sel)
	}
	m.Apply("service", manifest("s0", "old"))
	m.Service("shop", "s0")
	web.Get("10.96.50.1")
	load := web.StartLoad("10.96.50.1", 4)
	for i := range 60 {
		n := fmt.Sprint("s", i+1)
		m.Apply("service", manifest(n, []string{"fresh", "old"}[i%2]))
		m.Service("shop", n)
		m.InSync()
		web.More(load, 40)
	}
	total, failures := load.Stop()
	t.Logf("%d, %d failed", total, len(failures))
	for _, f := range failures {
		t.Log(f)
	}
}
