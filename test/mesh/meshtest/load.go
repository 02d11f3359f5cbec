package meshtest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Load is steady traffic that counts every request.
type Load struct {
	stop func()
	wg   sync.WaitGroup

	mu       sync.Mutex // guards:
	total    int
	failures []string
	answers  map[string]int // by the pod that answered
}

// StartLoad sends GET requests to url from the pod, from several clients at once
// (kept-alive connections), until Stop. A request fails if it has no answer or
// one other than 200.
func (p *Pod) StartLoad(url string, clients int) *Load {
	return p.StartLoadWith(url, clients, p.Client)
}

// StartLoadWith is StartLoad with other clients than HTTP/1.
func (p *Pod) StartLoadWith(url string, clients int, client func() *http.Client) *Load {
	ctx, cancel := context.WithCancel(p.m.Ctx)
	l := &Load{stop: cancel, answers: make(map[string]int)}
	for range clients {
		l.wg.Go(func() {
			c := client()
			defer c.CloseIdleConnections()
			pace := time.NewTicker(4 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
				}
				// A request that has begun is finished: what is cut by Stop would count as
				// a failure of the mesh.
				l.count(Do(context.WithoutCancel(ctx), c, url, Request{}))
			}
		})
	}
	return l
}

func (l *Load) count(r Response, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	switch {
	case err != nil:
		l.failures = append(l.failures, err.Error())
	case r.Status != http.StatusOK:
		l.failures = append(l.failures, fmt.Sprintf("%d %s (flags %s)", r.Status, r.Body, r.Header.Get("x-envoy-response-flags")))
	default:
		l.answers[r.Echo.Pod]++
	}
}

// Counts returns the requests so far, those that failed, and who answered.
func (l *Load) Counts() (total, failed int, answers map[string]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	answers = make(map[string]int, len(l.answers))
	for k, v := range l.answers {
		answers[k] = v
	}
	return l.total, len(l.failures), answers
}

// Stop ends the traffic and returns how many requests there were, and what went
// wrong with those that failed.
func (l *Load) Stop() (total int, failures []string) {
	l.stop()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.failures
}

// MustNotFail ends the traffic and fails the test if a request failed.
func (p *Pod) MustNotFail(l *Load) {
	p.m.T.Helper()
	total, failures := l.Stop()
	p.m.T.Logf("%d requests, %d failed", total, len(failures))
	if len(failures) > 0 {
		p.m.T.Errorf("%d of %d requests failed; the first: %s", len(failures), total, failures[0])
	}
	if total == 0 {
		p.m.T.Error("the load sent nothing")
	}
}

// More waits until the load has sent n more requests.
func (p *Pod) More(l *Load, n int) {
	p.m.T.Helper()
	before, _, _ := l.Counts()
	p.m.Eventually(fmt.Sprintf("%d more requests", n), func() error {
		if now, _, _ := l.Counts(); now < before+n {
			return fmt.Errorf("%d so far", now-before)
		}
		return nil
	})
}
