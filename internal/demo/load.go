package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// answer is how one request went.
type answer struct {
	start, end time.Time
	// version and pod are those of the app that answered.
	version, pod string
	caller       string // X-Forwarded-Client-Cert, as the app saw it
	store        string // what the store told the app, for an order
	err          error  // not answered, or not with 200
}

func (a *answer) took() time.Duration { return a.end.Sub(a.start) }

// shopAnswer is what the shop's apps answer.
type shopAnswer struct {
	Version string `json:"version"`
	Pod     string `json:"pod"`
	Caller  string `json:"caller"`
	Store   string `json:"store"`
}

// call sends one request.
func call(ctx context.Context, client *http.Client, url string) answer {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	a := answer{start: time.Now()}
	body, err := get(ctx, client, url)
	a.end, a.err = time.Now(), err
	if err != nil {
		return a
	}
	var said shopAnswer
	if err := json.Unmarshal(body, &said); err != nil {
		a.err = fmt.Errorf("GET %s: the answer is not the shop's: %w", url, err)
		return a
	}
	a.version, a.pod, a.caller, a.store = said.Version, said.Pod, said.Caller, said.Store
	return a
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{resp.StatusCode, strings.TrimSpace(string(body))}
	}
	return body, nil
}

// statusError is an answer other than 200.
type statusError struct {
	code int
	body string
}

func (e *statusError) Error() string {
	body := e.body
	if len(body) > 120 {
		body = body[:120] + "..."
	}
	return fmt.Sprintf("%d %s: %q", e.code, http.StatusText(e.code), body)
}

// calls sends n requests, a few at a time.
func calls(ctx context.Context, client *http.Client, url string, n, atOnce int) []answer {
	all := make([]answer, n)
	var wg sync.WaitGroup
	for first := range atOnce {
		wg.Go(func() {
			for i := first; i < n; i += atOnce {
				all[i] = call(ctx, client, url)
			}
		})
	}
	wg.Wait()
	return all
}

// load sends requests at a steady rate, whether or not earlier ones have been
// answered, until it is stopped.
type load struct {
	quit, done chan struct{}

	mu      sync.Mutex // guards:
	answers []answer
}

// mostAtOnce bounds the requests under way: 5 s of outage at 200 a second.
const mostAtOnce = 1000

// startLoad calls the URLs in turn, rate times a second. It ends by stop, or with ctx.
// newClient is called for as many clients as requests are under way at a time. Each
// has one connection: a client that they share would now and then open one in
// advance and send nothing, which the sidecar has to take for a server-first protocol.
func startLoad(ctx context.Context, newClient func() *http.Client, rate int, urls ...string) *load {
	l := &load{quit: make(chan struct{}), done: make(chan struct{})}
	go l.run(ctx, newClient, rate, urls)
	return l
}

func (l *load) run(ctx context.Context, newClient func() *http.Client, rate int, urls []string) {
	defer close(l.done)
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	places := make(chan struct{}, mostAtOnce)
	idle := make(chan *http.Client, mostAtOnce)
	for i := 0; ; i++ {
		select {
		case <-l.quit:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			var client *http.Client
			select {
			case client = <-idle:
			default:
				client = newClient()
			}
			a := call(ctx, client, urls[i%len(urls)])
			idle <- client
			l.mu.Lock()
			defer l.mu.Unlock()
			l.answers = append(l.answers, a)
		})
	}
}

// sofar returns the answers until now, in the order of their end.
func (l *load) sofar() []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.answers)
}

// stop sends no more, waits for what is under way and returns all answers.
func (l *load) stop() []answer {
	close(l.quit)
	<-l.done
	return l.sofar()
}
