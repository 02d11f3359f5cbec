package meshtest

import (
	"context"
	"net/http"
	"time"
)

// StartCalls is StartLoad for what is not a GET: call is made again and again, by
// each client on its own, until Stop. It says who answered; an error is a failure.
// A call that has begun is finished: its context does not end with Stop.
func (p *Pod) StartCalls(clients int, call func(ctx context.Context, client int) (by string, err error)) *Load {
	ctx, cancel := context.WithCancel(p.m.Ctx)
	l := &Load{stop: cancel, answers: make(map[string]int)}
	for i := range clients {
		l.wg.Go(func() {
			pace := time.NewTicker(4 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
				}
				by, err := call(context.WithoutCancel(ctx), i)
				l.count(Response{Status: http.StatusOK, Echo: Echo{Pod: by}}, err)
			}
		})
	}
	return l
}

// Failures are what went wrong so far.
func (l *Load) Failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.failures...)
}
