package mesh_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// planned is an app of several pods that does what a request's header x-plan says,
// one step for each time that the request arrives: a status, "reset" (the connection
// is cut once the request is there), "forged" (a 503 with the mesh's own header) or
// a duration (the app takes that long). After the plan it echoes. x-plan-<pod> is the
// one step of every arrival at that pod. The header x-id
// tells that two arrivals are tries of one request.
type planned struct {
	mu    sync.Mutex // guards:
	tries map[string][]arrival
}

// arrival is one try of a request.
type arrival struct {
	pod  string
	body int64
	at   time.Time
}

func (p *planned) handler(pod string) http.Handler {
	echo := meshtest.EchoHandler(pod)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		step := p.arrived(pod, r)
		switch {
		case step == "":
			echo.ServeHTTP(w, r)
		case step == "reset":
			panic(http.ErrAbortHandler) // cuts the connection, or the stream of HTTP/2
		case step == "forged":
			w.Header().Set("x-fairlead-unreached", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(step, "s"):
			takes, err := time.ParseDuration(step)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			select {
			case <-time.After(takes):
				echo.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		default:
			status := 0
			fmt.Sscan(step, &status) //nolint:errcheck // WriteHeader panics on what is no status
			w.WriteHeader(status)
			fmt.Fprintln(w, "as planned")
		}
	})
}

// arrived notes the try and returns its step of the plan.
func (p *planned) arrived(pod string, r *http.Request) string {
	body, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return "400"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries == nil {
		p.tries = map[string][]arrival{}
	}
	id := r.Header.Get("x-id")
	n := len(p.tries[id])
	p.tries[id] = append(p.tries[id], arrival{pod, body, time.Now()})
	if always := r.Header.Get("x-plan-" + pod); always != "" {
		return always
	}
	if plan := strings.Split(r.Header.Get("x-plan"), ","); n < len(plan) {
		return plan[n]
	}
	return ""
}

func (p *planned) of(id string) []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tries[id]
}

// plant is a mesh with a calling pod, web, and the pods a, b and c in which a
// planned app runs on port 8080. On port 8081 only b has it. The selectors "app: a",
// "ab: pods", "bc: pods" and "abc: pods" find what they say.
type plant struct {
	*meshtest.Mesh
	web  *meshtest.Pod
	pods map[string]*meshtest.Pod
	app  planned

	mu sync.Mutex // guards:
	id int
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{Mesh: meshtest.New(t), pods: map[string]*meshtest.Pod{}}
	for _, name := range []string{"a", "b", "c"} {
		spec := podSpec("shop", name)
		spec.Labels = map[string]string{"app": name}
		for _, several := range []string{"ab", "bc", "abc"} {
			if strings.Contains(several, name) {
				spec.Labels[several] = "pods"
			}
		}
		p.pods[name] = p.Pod(spec)
		p.pods[name].Serve(8080, p.app.handler(name))
	}
	p.pods["b"].Serve(8081, p.app.handler("b"))
	p.web = p.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	return p
}

// selecting is a Service on the pods with that label.
func selecting(name, label string, port int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec:
  selector: {%s}
  ports: [{name: http, port: 80, targetPort: %d}]
`, name, label, port)
}

// sent is the end of a request and its tries.
type sent struct {
	meshtest.Response
	tries []arrival
}

// send sends a request with a plan.
func (p *plant) send(t *testing.T, c *http.Client, url, method, plan, body string) sent {
	t.Helper()
	id := fmt.Sprint(p.next())
	request := meshtest.Request{Method: method, Header: map[string]string{"x-id": id, "x-plan": plan}}
	if body != "" {
		request.Body = strings.NewReader(body)
	}
	r, err := meshtest.Do(p.Ctx, c, url, request)
	if err != nil {
		t.Errorf("%s with the plan %q: %v", method, plan, err)
	}
	return sent{r, p.app.of(id)}
}

// next is a number that no request has had.
func (p *plant) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id++
	return p.id
}
