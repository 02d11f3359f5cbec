package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/injector"
	"github.com/fairlead/fairlead/injector/redirect"
)

// EnvoyVersion is the pinned one.
const EnvoyVersion = "1.40.0"

// EnvoyPath finds the Envoy binary: $ENVOY, or the pinned one in the cache folder
// where "make envoy" puts it.
func EnvoyPath() (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("ENVOY=%s: %w; unset it to use the pinned Envoy %s", path, err, EnvoyVersion)
		}
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	path := filepath.Join(cache, "fairlead", "envoy-"+EnvoyVersion, "envoy")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no Envoy at %s; run \"make envoy\", or set ENVOY=/path/to/envoy (version %s)", path, EnvoyVersion)
	}
	return path, nil
}

// EnvoyOptions say how to start a sidecar.
type EnvoyOptions struct {
	// Bootstrap is the configuration, YAML.
	Bootstrap []byte
	// Concurrency is the number of worker threads; 1 unless set.
	Concurrency int
	// LogLevel is Envoy's; "warning" unless set. ComponentLogLevel is like
	// "upstream:debug"; "misc:error" unless set: a warning for each address range of a
	// listener says no more than that IPMatcher is work in progress.
	LogLevel          string
	ComponentLogLevel string
	// Args are further arguments.
	Args []string
}

// Envoy is a running sidecar. What Process can do, it can.
type Envoy struct {
	*Process
	client *http.Client
}

// StartEnvoy starts the real Envoy in the pod, as the sidecar's user, without any
// capability. It does not wait: WaitReady does.
func (p *Pod) StartEnvoy(o EnvoyOptions) (*Envoy, error) {
	binary := p.lab.options.Envoy
	if binary == "" {
		var err error
		if binary, err = EnvoyPath(); err != nil {
			return nil, err
		}
	}
	config, err := p.configArgs(o.Bootstrap)
	if err != nil {
		return nil, err
	}
	args := append([]string{binary}, config...)
	args = append(args, "--disable-hot-restart",
		"--concurrency", strconv.Itoa(max(o.Concurrency, 1)),
		"--log-level", orElse(o.LogLevel, "warning"),
		"--component-log-level", orElse(o.ComponentLogLevel, "misc:error"))
	process, err := p.Start(ProcessSpec{
		Name: "envoy", Args: append(args, o.Args...), Env: []string{},
		UID: redirect.ProxyID, GID: redirect.ProxyID,
	})
	if err != nil {
		return nil, err
	}
	return &Envoy{Process: process, client: p.HTTPClient()}, nil
}

// configArgs passes the bootstrap as the injector does, in one argument. What is too
// long for one (128 KiB on Linux) goes to a file.
func (p *Pod) configArgs(bootstrap []byte) ([]string, error) {
	if len(bootstrap) < 100<<10 {
		return []string{"--config-yaml", string(bootstrap)}, nil
	}
	file := filepath.Join(p.lab.dir, p.Spec.Namespace+"_"+p.Spec.Name+".envoy.yaml")
	return []string{"--config-path", file}, os.WriteFile(file, bootstrap, 0o644)
}

// WaitReady waits until Envoy is LIVE: all of its listeners, routes and keys are
// there. If Envoy ends first, or ctx does, the error holds the end of its log.
func (e *Envoy) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-e.Done():
			return fmt.Errorf("lab: Envoy in %s ended before it was ready (%v):\n%s", e.netns.name, e.Wait(ctx), e.logTail())
		case <-ctx.Done():
			return fmt.Errorf("lab: Envoy in %s is not ready: %w; last answer: %v; its log:\n%s", e.netns.name, ctx.Err(), last, e.logTail())
		case <-tick.C:
			if _, last = e.Admin(ctx, "/ready"); last == nil {
				return nil
			}
		}
	}
}

// Admin gets a path of the admin listener. An answer other than 200 is an error.
func (e *Envoy) Admin(ctx context.Context, path string) ([]byte, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d%s", injector.AdminPort, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s of Envoy in %s: %s: %s", path, e.netns.name, resp.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}

// Stat returns a counter or a gauge; 0 if Envoy has none of that name.
func (e *Envoy) Stat(ctx context.Context, name string) (int64, error) {
	body, err := e.Admin(ctx, "/stats")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, nil
}

// MemoryAnon returns the bytes of memory that are Envoy's own (RssAnon): not the
// pages of its binary, which all sidecars of a node share.
func (e *Envoy) MemoryAnon() (int64, error) {
	name := fmt.Sprintf("/proc/%d/status", e.PID())
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s: no RssAnon: the process has ended", name)
}

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
