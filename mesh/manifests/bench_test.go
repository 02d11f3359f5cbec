package manifests

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/mesh"
)

// bigFolder writes n files, each with a Service and a Deployment behind it.
func bigFolder(t testing.TB, n int) string {
	dir := t.TempDir()
	for i := range n {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("team-%d", i%100), fmt.Sprintf("app-%d.yaml", i)), bigFile(i, "v1"))
	}
	return dir
}

func bigFile(i int, version string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: app-%[1]d
  namespace: team-%[2]d
spec:
  selector:
    app: app-%[1]d
  ports:
  - name: http
    port: 80
    targetPort: web
  - name: metrics
    port: 9090
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-%[1]d
  namespace: team-%[2]d
  labels:
    app: app-%[1]d
spec:
  replicas: 2
  selector:
    matchLabels:
      app: app-%[1]d
  template:
    metadata:
      labels:
        app: app-%[1]d
        version: %[3]s
    spec:
      serviceAccountName: app-%[1]d
      containers:
      - name: app
        image: registry.example.com/app:%[3]s
        ports:
        - name: web
          containerPort: 8080
        env:
        - name: LEVEL
          value: info
        resources:
          requests: {cpu: 100m, memory: 64Mi}
          limits: {memory: 128Mi}
        readinessProbe:
          httpGet: {path: /ready, port: web}
`, i, i%100, version)
}

func BenchmarkLoad10000(b *testing.B) {
	dir := bigFolder(b, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		r, err := Load(context.Background(), dir, Options{StandIns: true})
		if err != nil || len(r.Problems) > 0 || len(r.Batch.Services) != 10_000 {
			b.Fatal(err, r.Problems)
		}
	}
}

// BenchmarkEdit is one edit of one file among 10,000, from reading it to the end of
// Apply.
func BenchmarkEdit10000(b *testing.B) {
	dir := bigFolder(b, 10_000)
	f := newFolder(dir, Options{StandIns: true})
	if err := f.rescan(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	store := mesh.NewStore(mesh.Settings{})
	store.Apply(f.remodel())
	path := filepath.Join(dir, "team-7", "app-4207.yaml")
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		writeFile(b, path, bigFile(4207, fmt.Sprint("v", i)))
		b.StartTimer()
		if _, err := f.touch(b.Context(), []string{path}); err != nil {
			b.Fatal(err)
		}
		if keys := store.Apply(f.remodel()); len(keys) != 1 {
			b.Fatal(keys)
		}
	}
}
