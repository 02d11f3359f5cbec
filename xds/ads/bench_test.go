package ads

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// ackingWire is a client in memory that acknowledges everything at once.
func ackingWire(token string, arrived func()) *memWire {
	var w *memWire
	w = newMemWire(token, func(r *response) {
		typ, nonce := r.typ, r.nonce
		arrived()
		go w.put(request{typ: typ, known: true, nonce: nonce})
	})
	w.requests = make(chan request, 8)
	return w
}

// BenchmarkFlip changes one endpoint resource that n streams in memory hold,
// and waits until all have acknowledged it. What is left out is gRPC and TLS.
func BenchmarkFlip(b *testing.B) {
	for _, n := range []int{100, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b, Config{MaxAge: -1, SyncConcurrency: n})
			defer w.close()
			r := Ref{Endpoint, "cart"}
			w.src.set(r, fakeResource{text: "v"})
			var arrived atomic.Int64
			for i := range n {
				wire := ackingWire(fmt.Sprintf("web-%d@web", i), func() { arrived.Add(1) })
				go w.srv.serveWire(wire, wire, "bench")
				defer wire.cancel()
				wire.put(request{typ: Endpoint, known: true, subscribe: []string{"cart"}})
			}
			wait := func(text string) {
				w.src.set(r, fakeResource{text: text})
				w.changed(r)
				ctx, cancel := contextWithTimeout(time.Minute)
				defer cancel()
				if err := w.srv.WaitAcked(ctx, Key{Type: Endpoint, Name: "cart"}); err != nil {
					b.Fatal(err)
				}
			}
			for arrived.Load() < int64(n) {
				runtime.Gosched()
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				wait(fmt.Sprint("v", i))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/proxy")
		})
	}
}

// BenchmarkStreamState reports what the server itself keeps for an idle proxy
// that holds 40 resources, without gRPC and TLS.
func BenchmarkStreamState(b *testing.B) {
	const n, resources = 2000, 40
	for b.Loop() {
		w := newWorld(b, Config{MaxAge: -1, SyncConcurrency: n})
		var names []string
		for i := range resources {
			name := fmt.Sprintf("10.0.0.%d:80", i)
			names = append(names, name)
			w.src.set(Ref{Cluster, name}, fakeResource{text: "v"})
		}
		before := memoryInUse()
		var wires []*memWire
		for i := range n {
			wire := ackingWire(fmt.Sprintf("web-%d@web", i), func() {})
			wires = append(wires, wire)
			go w.srv.serveWire(wire, wire, "bench")
			wire.put(request{typ: Cluster, known: true, subscribe: append([]string{"*"}, names...)})
		}
		for {
			r := w.srv.Rollout(Key{Type: Cluster, Name: names[resources-1]})
			if r.Acked == n {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		b.ReportMetric(float64(memoryInUse()-before)/n/1024, "KiB/proxy")
		for _, wire := range wires {
			wire.cancel()
		}
		w.close()
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
