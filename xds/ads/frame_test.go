package ads

import (
	"runtime"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// TestFrame reads what the server writes with protobuf.
func TestFrame(t *testing.T) {
	frame, id, err := encodeResource(Cluster, "cart", "", message("cart", "v1"))
	if err != nil {
		t.Fatal(err)
	}
	if cap(frame) != len(frame) || len(id) != versionBytes {
		t.Errorf("frame of %d bytes in %d, version %q", len(frame), cap(frame), id)
	}
	var b blobs
	h := &held{e: &entry{key: Key{Type: Cluster, Name: "cart"}}}
	r := newResponse(Cluster)
	r.add(h, &version{blob: b.intern(Cluster, "cart", id, frame)})
	r.seal(42, time.Now())
	wire, err := newCodec().Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m discovery.DeltaDiscoveryResponse
	if err := proto.Unmarshal(wire.Materialize(), &m); err != nil {
		t.Fatal(err)
	}
	if got := show(&m); got != "CDS +cart@v1" || m.GetNonce() != "42" || m.GetTypeUrl() != typeURLs[Cluster] {
		t.Errorf("got %s, nonce %s, type %s", got, m.GetNonce(), m.GetTypeUrl())
	}
	res := m.GetResources()[0]
	if res.GetVersion() != id || res.GetResource().GetTypeUrl() != typeURLs[Cluster] {
		t.Errorf("version %s of %s, want %s", res.GetVersion(), res.GetResource().GetTypeUrl(), id)
	}

	gone := newResponse(Endpoint)
	gone.remove(h)
	gone.seal(7, time.Now())
	wire, err = newCodec().Marshal(gone)
	if err != nil {
		t.Fatal(err)
	}
	m.Reset()
	if err := proto.Unmarshal(wire.Materialize(), &m); err != nil {
		t.Fatal(err)
	}
	if got := show(&m); got != "EDS -cart" || m.GetNonce() != "7" {
		t.Errorf("got %s, nonce %s", got, m.GetNonce())
	}
}

// TestBlobsAreShared: equal bytes are kept once, and not longer than needed.
func TestBlobsAreShared(t *testing.T) {
	var b blobs
	one := b.intern(Cluster, "cart", "v", []byte("x"))
	if two := b.intern(Cluster, "cart", "v", []byte("x")); one != two {
		t.Error("equal bytes are kept twice")
	}
	runtime.KeepAlive(one)
	for range 100 {
		runtime.GC()
		b.mu.Lock()
		n := len(b.m)
		b.mu.Unlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Error("bytes that nobody uses are kept")
}
