package mesh_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// catalogService has a port for each kind of load of a catalog pod.
const catalogService = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: grpc, port: 9000, targetPort: 9000}
  - {name: tcp, port: 7000, targetPort: 7000}
`

// catalogPorts are the names of their endpoints.
var catalogPorts = []string{"shop/catalog:80", "shop/catalog:9000", "shop/catalog:7000"}

// catalogPod serves all the ports of catalogService.
type catalogPod struct {
	*meshtest.Pod
	http *meshtest.App
	grpc *grpc.Server
	tcp  sync.WaitGroup
}

// serve starts the apps of the pod: each of them says its pod's name.
func (c *catalogPod) serve(t testing.TB, p *meshtest.Pod) {
	c.Pod = p
	echo := meshtest.EchoHandler(p.Spec.Name)
	c.http = p.Serve(8080, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" { // long enough to be under way while the pod is being taken away
			timer := time.NewTimer(80 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
		}
		echo.ServeHTTP(w, r)
	}))
	l, err := p.Listen("tcp", ":9000")
	if err != nil {
		t.Fatal(err)
	}
	c.grpc = grpc.NewServer()
	c.grpc.RegisterService(podTalk(p.Spec.Name), nil)
	t.Cleanup(c.grpc.Stop)
	go c.grpc.Serve(l) //nolint:errcheck // it ends with the test
	p.ServeTCP(7000, func(conn net.Conn) {
		c.tcp.Add(1)
		defer c.tcp.Done()
		for in := bufio.NewReader(conn); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(conn, p.Spec.Name, ":", line)
		}
	})
}

// drain lets what is under way finish, as an app does that gets SIGTERM. Before it
// come a few calls of each kind: what was on its way when the callers learned that
// the pod is leaving has then arrived.
func (c *catalogPod) drain(t *testing.T, l *loads) func() {
	return func() {
		l.more(8)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := c.http.Shutdown(ctx); err != nil {
			t.Errorf("%s: HTTP: %v", c.Key(), err)
		}
		c.grpc.GracefulStop()
		c.tcp.Wait()
	}
}

// podTalk is a gRPC service that repeats each message after its pod's name.
func podTalk(pod string) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: "shop.Pod", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Talk", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			in := &wrapperspb.StringValue{}
			for {
				if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(wrapperspb.String(pod + ":" + in.Value)); err != nil {
					return err
				}
			}
		},
	}}}
}

// podStream opens a stream to podTalk.
func podStream(ctx context.Context, cc *grpc.ClientConn) (grpc.ClientStream, error) {
	return cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Pod/Talk")
}

// talkOnce says something on the stream and returns the pod that repeats it.
func talkOnce(s grpc.ClientStream, text string) (pod string, err error) {
	answer, err := say(s, text)
	if err != nil {
		return "", err
	}
	pod, rest, _ := strings.Cut(answer, ":")
	if rest != text {
		return "", fmt.Errorf("%q came back as %q", text, answer)
	}
	return pod, nil
}

// lineOnce says something on a connection to port 7000 and returns the pod that
// repeats it.
func lineOnce(conn net.Conn, text string) (pod string, err error) {
	if _, err := fmt.Fprintln(conn, text); err != nil {
		return "", err
	}
	// One line at a time is under way, so nothing is lost with the reader.
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("after %q: %w", answer, err)
	}
	pod, rest, _ := strings.Cut(answer, ":")
	if rest != text+"\n" {
		return "", fmt.Errorf("%q came back as %q", text, answer)
	}
	return pod, nil
}

// loads are all kinds of traffic from a pod to the catalog Service.
type loads struct {
	t     *testing.T
	from  *meshtest.Pod
	names []string
	list  []*meshtest.Load
}

func (l *loads) add(name string, load *meshtest.Load) {
	l.names, l.list = append(l.names, name), append(l.list, load)
}

// startLoads starts HTTP/1 and HTTP/2 requests, slow ones, gRPC streams of ten
// messages each, and TCP connections.
func startLoads(t *testing.T, web *meshtest.Pod, address string) *loads {
	t.Helper()
	l := &loads{t: t, from: web}
	l.add("HTTP/1", web.StartLoad(address, 2))
	l.add("HTTP/1 slow", web.StartLoad(address+"/slow", 2))
	l.add("HTTP/2", web.StartLoadWith(address, 1, web.H2Client))
	const clients = 1
	var conns []*grpc.ClientConn
	for range clients {
		conns = append(conns, dialGRPC(t, web, address+":9000"))
	}
	l.add("gRPC streams", web.StartCalls(clients, func(ctx context.Context, client int) (string, error) {
		s, err := podStream(ctx, conns[client])
		if err != nil {
			return "", err
		}
		pod := ""
		for i := range 10 {
			if pod, err = talkOnce(s, fmt.Sprint("message ", i)); err != nil {
				return "", fmt.Errorf("message %d: %w", i, err)
			}
		}
		if err := s.CloseSend(); err != nil {
			return "", err
		}
		if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("at the end: %v", err)
		}
		return pod, nil
	}))
	l.add("TCP", web.StartCalls(1, func(_ context.Context, _ int) (string, error) {
		conn, err := web.Dial(address + ":7000")
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return lineOnce(conn, "\x01hello")
	}))
	return l
}

// more waits until each has sent n more.
func (l *loads) more(n int) {
	l.t.Helper()
	for _, load := range l.list {
		l.from.More(load, n)
	}
}

// mustNotFail ends them; each of them must have reached all of these pods.
func (l *loads) mustNotFail(pods ...string) {
	l.t.Helper()
	for i, load := range l.list {
		total, failures := load.Stop()
		_, _, answers := load.Counts()
		l.t.Logf("%s: %d calls, %d failed, %v", l.names[i], total, len(failures), answers)
		if len(failures) > 0 {
			l.t.Errorf("%s: %d of %d calls failed; the first: %s", l.names[i], len(failures), total, failures[0])
		}
		for _, pod := range pods {
			if answers[pod] == 0 {
				l.t.Errorf("%s: %s answered nothing", l.names[i], pod)
			}
		}
	}
}

// inFlight is how many calls of each kind startLoads has under way at a time.
var inFlight = map[string]int{"HTTP/1": 2, "HTTP/1 slow": 2, "HTTP/2": 1, "gRPC streams": 1, "TCP": 1}

// report ends them and logs the counts.
func (l *loads) report() {
	l.t.Helper()
	for i, load := range l.list {
		total, failures := load.Stop()
		_, _, answers := load.Counts()
		l.t.Logf("%s: %d calls, %d failed %.300q, %v", l.names[i], total, len(failures), failures, answers)
	}
}

// growCatalog makes a catalog pod as a Deployment does.
func growCatalog(t *testing.T, m *meshtest.Mesh, name string) *catalogPod {
	t.Helper()
	c := &catalogPod{}
	m.Grow(lab.PodSpec{
		Namespace: "shop", Name: name, ServiceAccount: "catalog", Labels: map[string]string{"app": "catalog"}, Meshed: true,
	}, func(p *meshtest.Pod) { c.serve(m.T, p) })
	return c
}

// A Deployment is scaled and restarted under load: pods come when they are ready,
// and go when what they were doing is done. No request, no stream and no
// connection fails.
func TestEndpointsComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t)
	m.Apply("catalog", catalogService)
	pods := []*catalogPod{growCatalog(t, m, "catalog-0"), growCatalog(t, m, "catalog-1")}
	web := m.Pod(podSpec("shop", "web"))
	address := m.Service("shop", "catalog").String()

	t.Run("every pod is replaced, one by one", func(t *testing.T) {
		l := startLoads(t, web, address)
		l.more(5)
		answering := []string{"catalog-0", "catalog-1"}
		for i := range 3 {
			name := fmt.Sprint("catalog-", i+2)
			pods = append(pods, growCatalog(t, m, name))
			l.more(12)
			pods[0].Retire(pods[0].drain(t, l), catalogPorts...)
			pods = pods[1:]
			answering = append(answering, name)
			l.more(5)
		}
		l.mustNotFail(answering...)
	})

	// An endpoint that leaves and comes back, again and again, costs nobody a call.
	t.Run("readiness flaps", func(t *testing.T) {
		l := startLoads(t, web, address)
		start := time.Now()
		for range 25 {
			pods[0].Terminate()
			m.Known(pods[0].Pod, func(p *mesh.Pod) bool { return p.Terminating })
			m.Acked(catalogPorts...)
			pods[0].Back()
			m.Known(pods[0].Pod, func(p *mesh.Pod) bool { return !p.Terminating })
			m.Acked(catalogPorts...)
		}
		t.Logf("50 changes in %s", time.Since(start))
		l.more(5)
		l.mustNotFail(pods[0].Spec.Name, pods[1].Spec.Name)
	})

	// A pod that is killed: what it was just answering is lost with it, and nothing
	// else, although the control plane has not heard of it yet.
	t.Run("a pod dies without warning", func(t *testing.T) {
		pods = append(pods, growCatalog(t, m, "catalog-9"))
		l := startLoads(t, web, address)
		l.more(12)
		victim := pods[0]
		victim.grpc.Stop()
		if err := victim.Envoy.Kill(); err != nil {
			t.Fatal(err)
		}
		victim.http.Close()
		l.more(20)
		before := failuresOf(l)
		for i, n := range before {
			if bound := inFlight[l.names[i]]; n > bound {
				t.Errorf("%s: %d failed, more than were under way: %q", l.names[i], n, l.list[i].Failures())
			}
		}
		l.more(20) // nobody has told the control plane
		victim.Forget()
		m.Known(victim.Pod, func(p *mesh.Pod) bool { return p == nil })
		m.Acked(catalogPorts...)
		l.more(5)
		if after := failuresOf(l); !slices.Equal(before, after) {
			t.Errorf("failures go on: %v, then %v", before, after)
		}
		l.report()
		if err := victim.Delete(); err != nil {
			t.Error(err)
		}
	})
}

func failuresOf(l *loads) (n []int) {
	for _, load := range l.list {
		n = append(n, len(load.Failures()))
	}
	return n
}

// The weights of a rule are edited back and forth under load, and the rule is
// removed and added: no request fails, and each side gets its share.
func TestWeightsAreEditedUnderLoad(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Apply("busy", service("busy", "own"))
	url := s.Service("shop", "busy").String()
	load := s.web.StartLoad(url, 4)
	h2 := s.web.StartLoadWith(url, 2, s.web.H2Client)
	began := time.Now()
	edits := 0
	for range 2 {
		for _, weights := range [][2]int{{90, 10}, {0, 100}, {50, 50}, {100, 0}, {10, 90}, {0, 0}} {
			edits++
			if weights == [2]int{} {
				s.Delete("rules")
				s.Eventually("the rule is gone", func() error { return answeredBy(s.web, url, "own") })
				continue
			}
			s.Apply("rules", route("busy", "busy", fmt.Sprintf("- backendRefs: [{name: v1, port: 80, weight: %d}, {name: v2, port: 80, weight: %d}]", weights[0], weights[1])))
			// What was under way as the weights changed is over when a few calls more are.
			s.Eventually("the weights hold", func() error { return shareOf(s.web, load, weights) })
		}
	}
	t.Logf("%d edits in %s", edits, time.Since(began))
	s.web.MustNotFail(load)
	s.web.MustNotFail(h2)
}

// shareOf counts the next answers and tells whether they are shared so, within what
// is likely: four standard deviations and a bit.
func shareOf(web *meshtest.Pod, load *meshtest.Load, weights [2]int) error {
	_, _, before := load.Counts()
	web.More(load, 150)
	_, _, after := load.Counts()
	v1, v2 := after["v1"]-before["v1"], after["v2"]-before["v2"]
	own := after["own"] - before["own"]
	n := float64(v1 + v2)
	want := float64(weights[0]) / float64(weights[0]+weights[1])
	likely := 4*math.Sqrt(n*want*(1-want)) + 0.01
	if own > 0 || math.Abs(float64(v1)-n*want) > likely {
		return fmt.Errorf("v1 %d, v2 %d, the Service's own %d; want %d:%d", v1, v2, own, weights[0], weights[1])
	}
	return nil
}
