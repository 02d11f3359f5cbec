package meshtest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Echo is what the echo app says of a request, as the app saw it.
type Echo struct {
	Pod    string      `json:"pod"`
	Method string      `json:"method"`
	Host   string      `json:"host"`
	Path   string      `json:"path"` // with the query
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`
	Body   int64       `json:"body"` // bytes
}

// App is an HTTP app in a pod.
type App struct {
	// Requests counts those that reached the app.
	Requests atomic.Int64
	server   *http.Server
	listener net.Listener
}

// Serve runs an HTTP app on the port (HTTP/1 and HTTP/2 without TLS). A nil
// handler echoes.
func (p *Pod) Serve(port int, handler http.Handler) *App {
	p.m.T.Helper()
	if handler == nil {
		handler = EchoHandler(p.Spec.Name)
	}
	l, err := p.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		p.m.T.Fatal(err)
	}
	a := &App{listener: l}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	a.server = &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Requests.Add(1)
		handler.ServeHTTP(w, r)
	})}
	p.m.T.Cleanup(a.Close)
	go a.server.Serve(l) //nolint:errcheck // it ends with the test
	return a
}

// Close ends the app at once: its port refuses connections.
func (a *App) Close() { a.server.Close() }

// Shutdown lets requests that are under way finish, then ends the app.
func (a *App) Shutdown(ctx context.Context) error { return a.server.Shutdown(ctx) }

// EchoHandler answers with an Echo.
func EchoHandler(pod string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("content-type", "application/json")
		json.NewEncoder(w).Encode(Echo{ //nolint:errcheck // the caller may have gone
			Pod: pod, Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Proto: r.Proto, Header: r.Header, Body: n,
		})
	})
}

// Response is an answer that was read whole.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// Echo is filled in if the body is one.
	Echo Echo
	Took time.Duration
}

// Request says what to send; the zero value is a GET of "/".
type Request struct {
	Method string
	// Host is the Host header; that of the URL unless set.
	Host   string
	Header map[string]string
	Body   io.Reader
}

// Client returns an HTTP/1 client inside the pod.
func (p *Pod) Client() *http.Client {
	c := p.HTTPClient()
	c.Timeout = 30 * time.Second
	return c
}

// H2Client returns a client inside the pod that speaks HTTP/2 without TLS.
func (p *Pod) H2Client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{DialContext: p.DialContext, Protocols: protocols},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// TLSClient returns a client inside the pod that makes TLS itself.
func (p *Pod) TLSClient(c *tls.Config) *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{DialContext: p.DialContext, TLSClientConfig: c, ForceAttemptHTTP2: true},
	}
}

// Do sends one request with a client of its own connection and reads the answer.
func (p *Pod) Do(url string, r Request) (Response, error) {
	c := p.Client()
	defer c.CloseIdleConnections()
	return Do(p.m.Ctx, c, url, r)
}

// Get is Do for a plain GET; whatever goes wrong fails the test.
func (p *Pod) Get(url string) Response {
	p.m.T.Helper()
	r, err := p.Do(url, Request{})
	if err != nil {
		p.m.T.Fatalf("GET %s from %s: %v", url, p.Key(), err)
	}
	return r
}

// Do sends one request and reads the answer whole.
func Do(ctx context.Context, c *http.Client, url string, r Request) (Response, error) {
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, url, r.Body)
	if err != nil {
		return Response{}, err
	}
	req.Host = r.Host
	for k, v := range r.Header {
		req.Header[k] = []string{v} // as written: Envoy must cope with any case
	}
	start := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close()
	out := Response{Status: resp.StatusCode, Header: resp.Header}
	if out.Body, err = io.ReadAll(resp.Body); err != nil {
		return out, fmt.Errorf("reading the body: %w", err)
	}
	out.Took = time.Since(start)
	if resp.Header.Get("content-type") == "application/json" {
		if err := json.Unmarshal(out.Body, &out.Echo); err != nil {
			return out, err
		}
	}
	return out, nil
}
