package ads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/fairlead/fairlead/mesh"
)

// fakeView has no values: it only makes what a build depends on visible to the
// tracker.
type fakeView struct{ mesh.View }

func (fakeView) Service(mesh.Name) *mesh.Service { return nil }

// depOf is what the resource of a type and name is built from.
func depOf(t Type, name string) mesh.Key {
	return mesh.Key{Kind: mesh.KindService, Name: mesh.Name{Namespace: t.String(), Name: name}}
}

// fakeSource serves what a test put into it. Names say what is special:
// beginning with a digit: sticky; "mine": private; "no...": refused by Resolve;
// "v...": one variant per client class.
type fakeSource struct {
	mu        sync.Mutex
	resources map[Ref]fakeResource
	wildcards map[Type][]string
	builds    []string
	issued    int
	haves     []string
	renew     time.Duration
	issueErr  error
	buildErr  map[string]error
	hold      chan struct{} // if set, Build waits for it
}

type fakeResource struct {
	text        string
	refs, after []Ref
}

func newFakeSource() *fakeSource {
	return &fakeSource{
		resources: make(map[Ref]fakeResource),
		wildcards: make(map[Type][]string),
		buildErr:  make(map[string]error),
	}
}

func (f *fakeSource) set(r Ref, res fakeResource) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resources[r] = res
}

func (f *fakeSource) unset(r Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.resources, r)
}

func (f *fakeSource) Resolve(c *Client, t Type, name string) (Key, bool) {
	k := Key{Type: t, Name: name}
	if strings.HasPrefix(name, "no") {
		return Key{}, false
	}
	if strings.HasPrefix(name, "v") {
		k.Variant, _ = c.Class.(string)
	}
	return k, true
}

func (f *fakeSource) Wildcard(_ *Client, t Type) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.wildcards[t])
}

func (f *fakeSource) Build(k Key, v mesh.View) (Built, error) {
	v.Service(mesh.Name{Namespace: k.Type.String(), Name: k.Name})
	f.mu.Lock()
	hold := f.hold
	f.builds = append(f.builds, k.String())
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.buildErr[k.Name]; err != nil {
		return Built{}, err
	}
	r, ok := f.resources[Ref{k.Type, k.Name}]
	if !ok {
		return Built{}, nil
	}
	text := r.text
	if k.Variant != "" {
		text += "/" + k.Variant
	}
	return Built{Message: message(k.Name, text), Refs: r.refs, After: r.after}, nil
}

func (f *fakeSource) Sticky(k Key) bool {
	return k.Type == Cluster && k.Name != "" && k.Name[0] >= '0' && k.Name[0] <= '9'
}

func (f *fakeSource) Private(k Key) bool { return k.Type == Secret && k.Name == "mine" }

func (f *fakeSource) Overflow(k Key) Key { k.Variant = "passthrough"; return k }

func (f *fakeSource) Issue(_ context.Context, c *Client, k Key, have string) (Built, Renewal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.haves = append(f.haves, have)
	if f.issueErr != nil {
		return Built{}, Renewal{}, f.issueErr
	}
	var renew Renewal
	if f.renew > 0 {
		renew.At = time.Now().Add(f.renew)
	}
	if strings.HasPrefix(have, "leaf-") {
		return Built{Version: have}, renew, nil
	}
	f.issued++
	version := fmt.Sprintf("leaf-%d", f.issued)
	return Built{Message: message(k.Name, c.Pod.Name+"/"+version), Version: version}, renew, nil
}

// message is a resource that carries text. The server does not look at types.
func message(name, text string) *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: name, AltStatName: text}
}

// versionOf is the version that message has under the name.
func versionOf(t Type, name, text string) string {
	_, id, err := encodeResource(t, name, "", message(name, text))
	if err != nil {
		panic(err)
	}
	return id
}

// fakeAuth takes tokens of the form "pod[@workload[@class]]".
func fakeAuth(_ context.Context, token string) (*Client, error) {
	parts := strings.Split(token, "@")
	if parts[0] == "bad" {
		return nil, errors.New("token " + token + " is signed by somebody else")
	}
	c := &Client{
		Identity: mesh.Identity{TrustDomain: "cluster.local", Account: mesh.Name{Namespace: "shop", Name: "default"}},
		Pod:      mesh.Name{Namespace: "shop", Name: parts[0]},
		PodUID:   "uid-" + parts[0],
		Workload: mesh.Workload{Kind: "Deployment", Name: mesh.Name{Namespace: "shop", Name: parts[0]}},
	}
	if len(parts) > 1 {
		c.Workload.Name.Name = parts[1]
	}
	if len(parts) > 2 {
		c.Class = parts[2]
	}
	return c, nil
}

// world is a server with a source, reachable over an in-memory listener.
type world struct {
	src    *fakeSource
	srv    *Server
	lis    *bufconn.Listener
	grpc   *grpc.Server
	cancel context.CancelFunc
	done   chan struct{}
	conns  []*grpc.ClientConn

	podMu   sync.Mutex
	classes map[string]string // of pods whose class changed
	gone    map[string]bool   // pods that were deleted
}

// refresh is Config.Refresh.
func (w *world) refresh(c *Client) *Client {
	w.podMu.Lock()
	defer w.podMu.Unlock()
	if w.gone[c.Pod.Name] {
		return nil
	}
	class, ok := w.classes[c.Pod.Name]
	if !ok || c.Class == class {
		return c
	}
	n := *c
	n.Class = class
	return &n
}

// setClass changes the class of a pod.
func (w *world) setClass(pod, class string) {
	w.podMu.Lock()
	w.classes[pod] = class
	w.podMu.Unlock()
	w.srv.RefreshPods(mesh.Name{Namespace: "shop", Name: pod})
}

// remove deletes a pod.
func (w *world) remove(pod string, tell bool) {
	w.podMu.Lock()
	w.gone[pod] = true
	w.podMu.Unlock()
	if tell {
		w.srv.RefreshPods(mesh.Name{Namespace: "shop", Name: pod})
	}
}

func newWorld(tb testing.TB, cfg Config) *world {
	tb.Helper()
	w := &world{
		src: newFakeSource(), lis: bufconn.Listen(64 << 10), done: make(chan struct{}),
		classes: make(map[string]string), gone: make(map[string]bool),
	}
	cfg.Source, cfg.View, cfg.Refresh = w.src, fakeView{}, w.refresh
	if cfg.Authenticate == nil {
		cfg.Authenticate = fakeAuth
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if w.srv, err = New(cfg); err != nil {
		tb.Fatal(err)
	}
	w.grpc = grpc.NewServer(ServerOptions(insecure.NewCredentials())...)
	w.srv.Register(w.grpc)
	go w.grpc.Serve(w.lis)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { defer close(w.done); w.srv.Run(ctx) }()
	return w
}

func (w *world) close() {
	for _, c := range w.conns {
		c.Close()
	}
	w.cancel()
	<-w.done
	w.grpc.Stop()
}

func (w *world) changed(r Ref) { w.srv.Changed([]mesh.Key{depOf(r.Type, r.Name)}) }

// client is the Envoy's end of a stream.
type client struct {
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	cancel context.CancelFunc

	mu       sync.Mutex
	arrived  []*discovery.DeltaDiscoveryResponse // not yet looked at
	err      error                               // how the stream ended
	gone     bool
	auto     bool
	has      map[Ref]string // name -> version, of all that it acknowledged
	sentNode bool

	unanswered [][]*discovery.DeltaDiscoveryResponse // looked at, owned by the test
}

func (w *world) dial(tb testing.TB) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient("passthrough:ads", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.lis.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	w.conns = append(w.conns, conn)
	return conn
}

func (w *world) connect(tb testing.TB, token string) *client {
	tb.Helper()
	conn := w.dial(tb)
	ctx, cancel := context.WithCancel(context.Background())
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return &client{stream: stream, cancel: cancel, has: make(map[Ref]string)}
}

// read takes what arrives until the stream ends.
func (c *client) read() {
	for {
		r, err := c.stream.Recv()
		c.mu.Lock()
		if err != nil {
			c.err, c.gone = err, true
			c.mu.Unlock()
			return
		}
		auto := c.auto
		if !auto {
			c.arrived = append(c.arrived, r)
		}
		c.mu.Unlock()
		if auto {
			c.answer(r, "")
		}
	}
}

// answer acknowledges r, or rejects it if there is a reason.
func (c *client) answer(r *discovery.DeltaDiscoveryResponse, reason string) error {
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
	if reason != "" {
		req.ErrorDetail = &status.Status{Code: 13, Message: reason}
	} else {
		c.take(r)
	}
	return c.send(req)
}

func (c *client) take(r *discovery.DeltaDiscoveryResponse) {
	t, _ := ParseType(r.GetTypeUrl())
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, res := range r.GetResources() {
		c.has[Ref{t, res.GetName()}] = res.GetVersion()
	}
	for _, name := range r.GetRemovedResources() {
		delete(c.has, Ref{t, name})
	}
}

func (c *client) send(req *discovery.DeltaDiscoveryRequest) error {
	if !c.sentNode {
		c.sentNode = true
		req.Node = &corev3.Node{Id: "a node"}
	}
	return c.stream.Send(req)
}

func (c *client) subscribe(t Type, names ...string) error {
	return c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: t.URL(), ResourceNamesSubscribe: names})
}

// show prints responses of a type as transcripts do: "CDS +cart@v1 -old".
func show(group ...*discovery.DeltaDiscoveryResponse) string {
	t, ok := ParseType(group[0].GetTypeUrl())
	if !ok {
		return "unknown type " + group[0].GetTypeUrl()
	}
	var resources []*discovery.Resource
	var removed []string
	for _, r := range group {
		resources = append(resources, r.GetResources()...)
		removed = append(removed, r.GetRemovedResources()...)
	}
	var parts []string
	for _, res := range resources {
		var m clusterv3.Cluster
		if err := res.GetResource().UnmarshalTo(&m); err != nil {
			// The type in the Any is the one asked for; the content is always a Cluster.
			a := res.GetResource()
			a.TypeUrl = typeURLs[Cluster]
			if err := a.UnmarshalTo(&m); err != nil {
				return err.Error()
			}
		}
		parts = append(parts, "+"+res.GetName()+"@"+m.GetAltStatName())
	}
	for _, name := range removed {
		parts = append(parts, "-"+name)
	}
	sort.Strings(parts)
	if len(parts) == 0 {
		parts = []string{"empty"}
	}
	return t.String() + " " + strings.Join(parts, " ")
}
