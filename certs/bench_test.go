package certs

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One leaf: what each proxy that connects without one costs.
func BenchmarkIssue(b *testing.B) {
	a := selfSigned(b, quiet())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Issue(b.Context(), web); err != nil {
			b.Fatal(err)
		}
	}
}

// 2,000 proxies that connect at once, on every processor there is.
func BenchmarkIssue2000(b *testing.B) {
	a := selfSigned(b, quiet())
	for b.Loop() {
		var left atomic.Int64
		left.Store(2000)
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if _, err := a.Issue(b.Context(), web); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// What a proxy that comes back with a good leaf costs.
func BenchmarkStillGood(b *testing.B) {
	a := selfSigned(b, quiet())
	v := issue(b, a, web).Version()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := a.StillGood(v, web, now); !ok {
			b.Fatal("not good")
		}
	}
}

// A whole handshake with the control plane's port, both ends on this machine.
func BenchmarkServerHandshake(b *testing.B) {
	a := selfSigned(b, quiet())
	server, client := a.ServerTLS([]string{fairlead}), proxyTLS(a, fairlead)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := handshake(client, server); err != nil {
			b.Fatal(err)
		}
	}
}
