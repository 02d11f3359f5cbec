package mesh_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// shop is a mesh with a calling pod, web, and a pod in which four apps listen. Each
// app is a Service (own, v1, v2, v3) and answers with its name. The Services of the
// cases have app "own" behind them, so that a call which their rules do not decide
// is answered by "own".
type shop struct {
	*meshtest.Mesh
	t    *testing.T
	web  *meshtest.Pod
	pod  *meshtest.Pod
	apps map[string]*meshtest.App
}

// appPorts are the apps' own.
var appPorts = map[string]int{"own": 8080, "v1": 8081, "v2": 8082, "v3": 8083}

func newShop(t *testing.T) *shop {
	t.Helper()
	return newShopOf(t, func(s *shop, app string, port int) {
		s.apps[app] = s.pod.Serve(port, echo(app))
	})
}

// newShopOf is newShop with apps that serve starts.
func newShopOf(t *testing.T, serve func(s *shop, app string, port int)) *shop {
	t.Helper()
	s := &shop{Mesh: meshtest.New(t), t: t, apps: map[string]*meshtest.App{}}
	var services []string
	for _, app := range slices.Sorted(maps.Keys(appPorts)) {
		services = append(services, service(app, app))
	}
	s.Apply("apps", join(services...))
	s.pod = s.Pod(lab.PodSpec{Namespace: "shop", Name: "apps", ServiceAccount: "apps", Meshed: true})
	s.web = s.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	for app, port := range appPorts {
		serve(s, app, port)
	}
	return s
}

// echo answers with what it saw, and some headers.
func echo(app string) http.Handler {
	next := meshtest.EchoHandler(app)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-App"] = []string{app}
		w.Header()["X-App-List"] = []string{"one", "two"}
		w.Header()["X-App-Secret"] = []string{"secret"}
		next.ServeHTTP(w, r)
	})
}

// service is a Service of namespace shop on port 80 with one app behind it.
func service(name, app string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop}
spec:
  selector: {app: apps}
  ports: [{name: http, port: 80, targetPort: %d}]
`, name, appPorts[app])
}

// route is an HTTPRoute of namespace shop with these rules on a Service.
func route(name, service, rules string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: %s}]
  rules:
%s`, name, service, indent(rules, "  "))
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n"+by) + "\n"
}

func join(documents ...string) string { return strings.Join(documents, "---\n") }

// routeCase is an HTTPRoute on a Service of its own, and calls to it.
type routeCase struct {
	name  string // of the Service and of the route as well
	rules string // spec.rules
	calls []call
}

// call is a request and what both ends saw.
type call struct {
	send   string // "GET /path" with a query, if any
	host   string // Host; the address that is called unless set
	header map[string]string
	body   string
	// want is the app that answered, or the status if none did.
	want string
	// app and got are what the app saw of the request, and what the caller got: each
	// "name: value", where "host", "path" and "method" are those of the request; an
	// empty value says that the header is not there. Values of one name are joined
	// with ", ".
	app, got []string
}

// run tries all the cases. Each one's first call is the first to its Service.
func (s *shop) run(t *testing.T, cases []routeCase) {
	t.Helper()
	var documents []string
	for _, c := range cases {
		documents = append(documents, service(c.name, "own"), route(c.name, c.name, c.rules))
	}
	s.Apply("cases", join(documents...))
	calls := 0
	for _, c := range cases {
		address := s.Service("shop", c.name)
		t.Run(c.name, func(t *testing.T) {
			for _, call := range c.calls {
				s.call(t, address, call)
			}
		})
		calls += len(c.calls)
	}
	t.Logf("%d routes, %d calls", len(cases), calls)
}

func (s *shop) call(t *testing.T, address netip.Addr, c call) {
	t.Helper()
	method, path, _ := strings.Cut(c.send, " ")
	request := meshtest.Request{Method: method, Host: c.host, Header: c.header}
	if c.body != "" {
		request.Body = strings.NewReader(c.body)
	}
	r, err := s.web.Do(address.String()+path, request)
	what := c.send
	if len(c.header) > 0 {
		what += fmt.Sprint(" ", c.header)
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if got := outcome(r); got != c.want {
		t.Errorf("%s: answered by %s, want %s (body %.200q)", what, got, c.want, r.Body)
	}
	check(t, what+": the app saw", c.app, func(name string) string {
		switch name {
		case "host":
			return r.Echo.Host
		case "path":
			return r.Echo.Path
		case "method":
			return r.Echo.Method
		case "body":
			return fmt.Sprint(r.Echo.Body)
		}
		return values(r.Echo.Header, name)
	})
	check(t, what+": the caller got", c.got, func(name string) string { return values(r.Header, name) })
}

// outcome is the app that answered, or the status if none did.
func outcome(r meshtest.Response) string {
	if r.Echo.Pod != "" && r.Status == http.StatusOK {
		return r.Echo.Pod
	}
	return fmt.Sprint(r.Status)
}

func values(h http.Header, name string) string { return strings.Join(h.Values(name), ", ") }

func check(t *testing.T, what string, want []string, value func(name string) string) {
	t.Helper()
	for _, w := range want {
		name, v, _ := strings.Cut(w, ":")
		if got := value(name); got != strings.TrimSpace(v) {
			t.Errorf("%s %s: %q, want %q", what, name, got, strings.TrimSpace(v))
		}
	}
}

// dateOf sets the time at which an object was made.
func dateOf(object, created string) string {
	return strings.Replace(object, "namespace: shop}", `namespace: shop, creationTimestamp: "`+created+`"}`, 1)
}

// serviceOn is service on another port.
func serviceOn(name, app string, port int) string {
	return strings.Replace(service(name, app), "port: 80,", fmt.Sprintf("port: %d,", port), 1)
}

// plainGet is a request without anything.
var plainGet = meshtest.Request{}

// podSpec is a pod with a sidecar, and with its name as its account.
func podSpec(namespace, name string) lab.PodSpec {
	return lab.PodSpec{Namespace: namespace, Name: name, ServiceAccount: name, Meshed: true}
}
