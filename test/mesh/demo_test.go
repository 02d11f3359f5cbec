package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
)

// What a newcomer sees first works: the demonstration, as the binaries that are
// shipped, finds everything as promised.
func TestDemo(t *testing.T) {
	lab.RequireRoot(t)
	bin := t.TempDir()
	for output, pkg := range map[string]string{
		"fairlead": "cmd/fairlead", "fairlead-controller": "cmd/fairlead-controller", "shop": "examples/shop/app",
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, output), "github.com/fairlead/fairlead/"+pkg)
		build.Env = append(build.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	demo := exec.CommandContext(ctx, filepath.Join(bin, "fairlead"), "demo", "-o", "json", "--timeout", "2m")
	var summary, progress bytes.Buffer
	demo.Stdout, demo.Stderr = &summary, &progress
	if err := demo.Run(); err != nil {
		t.Fatalf("fairlead demo: %v\n%s\n%s", err, &progress, &summary)
	}
	t.Logf("\n%s", &progress)
	var measured struct {
		OK      bool
		Seconds float64
		Rows    []struct{ Step, What, Problem string }
	}
	if err := json.Unmarshal(summary.Bytes(), &measured); err != nil {
		t.Fatalf("the summary is no JSON: %v\n%s", err, &summary)
	}
	steps := map[string]bool{}
	for _, r := range measured.Rows {
		steps[r.Step] = true
		if r.Problem != "" {
			t.Errorf("%s, %s: %s", r.Step, r.What, r.Problem)
		}
	}
	if !measured.OK || len(steps) != 6 {
		t.Errorf("ok is %v after %d steps, want 6 steps: %v", measured.OK, len(steps), steps)
	}
}
