package ads

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

func sampleRequests() []*discovery.DeltaDiscoveryRequest {
	return []*discovery.DeltaDiscoveryRequest{
		{},
		{TypeUrl: typeURLs[Cluster], ResponseNonce: "17"},
		{TypeUrl: typeURLs[Endpoint], ResponseNonce: "x", ErrorDetail: &status.Status{Code: 3, Message: "line one\nline two\x7f"}},
		{
			Node: &corev3.Node{Id: "web-1.shop", Cluster: "x"}, TypeUrl: typeURLs[VirtualHost],
			ResourceNamesSubscribe: []string{"*", "a/b"}, ResourceNamesUnsubscribe: []string{"c"},
			InitialResourceVersions: map[string]string{"a": "1", "b": ""},
		},
		{TypeUrl: "type.googleapis.com/something.Else", ResourceNamesSubscribe: []string{""}},
	}
}

// decodesAlike holds request.decode to protobuf's own reading.
func decodesAlike(t *testing.T, wire []byte) {
	var r request
	err := r.decode(wire)
	var m discovery.DeltaDiscoveryRequest
	if proto.Unmarshal(wire, &m) != nil {
		return // whatever decode makes of it, it must not panic
	}
	if err != nil {
		tooLong := func(s string) bool { return len(s) > maxNameBytes }
		if slices.ContainsFunc(m.ResourceNamesSubscribe, tooLong) || slices.ContainsFunc(m.ResourceNamesUnsubscribe, tooLong) ||
			slices.ContainsFunc(slices.Collect(maps.Keys(m.InitialResourceVersions)), tooLong) {
			return
		}
		t.Fatalf("decode: %v, but protobuf reads %v", err, &m)
	}
	if r.excess > 0 {
		return
	}
	if r.known && typeURLs[r.typ] != m.TypeUrl {
		t.Errorf("type %s, want %s", r.typ, m.TypeUrl)
	}
	if !slices.Equal(r.subscribe, m.ResourceNamesSubscribe) || !slices.Equal(r.unsubscribe, m.ResourceNamesUnsubscribe) {
		t.Errorf("names %q %q, want %q %q", r.subscribe, r.unsubscribe, m.ResourceNamesSubscribe, m.ResourceNamesUnsubscribe)
	}
	for name, v := range m.InitialResourceVersions {
		if got, ok := r.initial[name]; !ok || got != v && len(v) <= maxNameBytes {
			t.Errorf("initial version of %q: %q, want %q", name, got, v)
		}
	}
	if want, _ := strconv.ParseUint(m.ResponseNonce, 10, 64); r.nonce != want && m.ResponseNonce != "" {
		t.Errorf("nonce %d, want %q", r.nonce, m.ResponseNonce)
	}
	if r.rejected != (m.ErrorDetail != nil) {
		t.Errorf("rejected %v, want %v", r.rejected, m.ErrorDetail)
	}
	for _, s := range []string{r.reason, r.node, r.typeURL} {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\r\x1b") {
			t.Errorf("%q is not fit for a log", s)
		}
	}
}

func TestRequestDecode(t *testing.T) {
	for _, m := range sampleRequests() {
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		decodesAlike(t, wire)
	}
}

func TestRequestBounds(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    *discovery.DeltaDiscoveryRequest
		want string
	}{
		{"long name", &discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{strings.Repeat("x", maxNameBytes+1)}}, "1025 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire, err := proto.Marshal(tt.m)
			if err != nil {
				t.Fatal(err)
			}
			var r request
			if err := r.decode(wire); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("decode: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestRequestOfAFullClient: whatever a client may hold it may also name when it
// comes again, twice; what is beyond that is left out and does not end the stream.
func TestRequestOfAFullClient(t *testing.T) {
	m := &discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[Cluster], InitialResourceVersions: make(map[string]string)}
	for i := range defaultMaxHeld {
		name := fmt.Sprintf("out/tcp/some-namespace-%d/some-service-with-a-name:%05d", i%100, i)
		m.ResourceNamesSubscribe = append(m.ResourceNamesSubscribe, name)
		m.InitialResourceVersions[name] = strings.Repeat("f", versionBytes)
	}
	read := func() (r request) {
		t.Helper()
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(wire) > maxRequestBytes {
			t.Fatalf("the request has %d bytes; at most %d are read", len(wire), maxRequestBytes)
		}
		if err := r.decode(wire); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read(); len(r.subscribe) != defaultMaxHeld || len(r.initial) != defaultMaxHeld || r.excess != 0 {
		t.Errorf("%d and %d names, %d left out", len(r.subscribe), len(r.initial), r.excess)
	}
	m.ResourceNamesSubscribe = make([]string, maxRequestNames+3)
	if r := read(); len(r.subscribe) != maxRequestNames || len(r.initial) != defaultMaxHeld || r.excess != 3 {
		t.Errorf("%d and %d names, %d left out", len(r.subscribe), len(r.initial), r.excess)
	}
}

func FuzzRequestDecode(f *testing.F) {
	for _, m := range sampleRequests() {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(decodesAlike)
}
