package mesh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// noise is n bytes that differ everywhere, the same for the same seed.
func noise(seed uint64, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(seed)}), n)
}

// sum reads to the end.
func sum(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// bodyHandler takes a body of any size, says what its sum is, and answers with
// noise of the size that was asked for.
func bodyHandler(w http.ResponseWriter, r *http.Request) {
	got, n, err := sum(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("x-sum", got)
	w.Header().Set("x-bytes", strconv.FormatInt(n, 10))
	size, _ := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
	io.Copy(w, noise(2, size)) //nolint:errcheck // the caller looks
}

// Bodies of tens of megabytes arrive whole in both directions, and many requests
// at a time do not disturb each other.
func TestBodiesOfAnySize(t *testing.T) {
	t.Parallel()
	m, client, server, _ := protocolMesh(t)
	server.Serve(8080, http.HandlerFunc(bodyHandler))
	url := "http://" + m.Service("shop", "server").String()
	const size = 24 << 20
	wantUp, _, _ := sum(noise(1, size))
	wantDown, _, _ := sum(noise(2, size))
	clients := map[string]func() *http.Client{"HTTP/1": client.Client, "HTTP/2": client.H2Client}

	for name, newClient := range clients {
		// The first call of all waits for its destination with an unfinished body.
		for _, length := range []int64{-1, size} {
			t.Run(fmt.Sprintf("%s, length %d", name, length), func(t *testing.T) {
				start := time.Now()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"?size="+strconv.Itoa(size), noise(1, size))
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = length
				resp, err := newClient().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, n, err := sum(resp.Body)
				if up := resp.Header.Get("x-sum"); up != wantUp {
					t.Errorf("of the body sent %s bytes arrived, not as they were", resp.Header.Get("x-bytes"))
				}
				if err != nil || got != wantDown {
					t.Errorf("%d bytes came back, not as they were: %v", n, err)
				}
				t.Logf("%d MiB each way in %s", size>>20, time.Since(start).Round(time.Millisecond))
			})
		}
	}

	// None of them is answered before all have arrived.
	for name, c := range map[string]struct {
		client  *http.Client
		streams int
	}{"HTTP/1": {client.Client(), 200}, "HTTP/2": {client.H2Client(), 1500}} {
		t.Run(fmt.Sprintf("%d requests at a time, %s", c.streams, name), func(t *testing.T) {
			var waiting atomic.Int64
			all := make(chan struct{})
			app := server.Serve(9000, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if waiting.Add(1) == int64(c.streams) {
					close(all)
				}
				select {
				case <-all:
				case <-r.Context().Done():
				}
				fmt.Fprint(w, r.URL.Query().Get("n"))
			}))
			defer app.Close()
			var wg sync.WaitGroup
			for i := range c.streams {
				wg.Go(func() {
					n := strconv.Itoa(i)
					r, err := meshtest.Do(t.Context(), c.client, url+":9000/?n="+n, meshtest.Request{})
					if err != nil || r.Status != 200 || string(r.Body) != n {
						t.Errorf("request %s: %d %s %v; %d were waiting", n, r.Status, r.Body, err, waiting.Load())
					}
				})
			}
			wg.Wait()
		})
	}
}

// A reader that is slow slows its writer down: what is between them in the
// meantime is bounded, in both sidecars.
func TestSlowReaderSlowsTheWriter(t *testing.T) {
	t.Parallel()
	m, client, server, _ := protocolMesh(t)
	const size = 80 << 20
	want, _, _ := sum(noise(3, size))
	var written atomic.Int64
	flood := func(w io.Writer) { io.Copy(io.MultiWriter(w, countWrites{&written}), noise(3, size)) } //nolint:errcheck // the caller looks
	server.Serve(8080, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { flood(w) }))
	server.ServeTCP(7003, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 2)) //nolint:errcheck // the client speaks first
		flood(c)
	})
	// The other direction: an app that does not read what it is sent.
	server.Serve(9000, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	address := m.Service("shop", "server").String()
	upload := func(c *http.Client) func(*testing.T) io.ReadCloser {
		return func(t *testing.T) io.ReadCloser {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+":9000", io.TeeReader(noise(3, size), countWrites{&written}))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if resp, err := c.Do(req); err == nil {
					resp.Body.Close()
				}
			}()
			return uploading{func() { cancel(); <-ended }}
		}
	}
	get := func(c *http.Client) func(*testing.T) io.ReadCloser {
		return func(t *testing.T) io.ReadCloser {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp.Body
		}
	}
	for name, open := range map[string]func(*testing.T) io.ReadCloser{
		"HTTP/1":        get(client.Client()),
		"HTTP/2":        get(client.H2Client()),
		"HTTP/1 upload": upload(client.Client()),
		"HTTP/2 upload": upload(client.H2Client()),
		"TCP": func(t *testing.T) io.ReadCloser {
			conn, err := client.Dial(address + ":7003")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, "go")
			return conn
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := anonymous(t, client) + anonymous(t, server)
			written.Store(0)
			body := open(t)
			defer body.Close()
			stalled := stall(t, &written)
			grown := anonymous(t, client) + anonymous(t, server) - before
			t.Logf("the writer stalls after %d KiB; the sidecars grew by %d KiB together", stalled>>10, grown>>10)
			// Most of it is in the kernel's buffers, of six sockets.
			if stalled > 48<<20 {
				t.Errorf("the writer could write %d MiB that nobody read", stalled>>20)
			}
			if grown > 24<<20 {
				t.Errorf("the sidecars hold %d MiB more", grown>>20)
			}
			if name != "HTTP/1" && name != "TCP" {
				return // these show that nothing is lost
			}
			if got, n, err := sum(body); err != nil || got != want {
				t.Errorf("%d of %d bytes arrived, or not as they were: %v", n, size, err)
			}
		})
	}
}

// uploading is a response that never comes. Close gives up.
type uploading struct{ giveUp func() }

func (uploading) Read([]byte) (int, error) { return 0, io.EOF }
func (u uploading) Close() error           { u.giveUp(); return nil }

// stall waits until the writer makes no progress any more, and returns how far it came.
func stall(t *testing.T, written *atomic.Int64) int64 {
	t.Helper()
	last, since := int64(-1), time.Now()
	meshtest.Eventually(t, "the writer stalls", func() error {
		if n := written.Load(); n != last || n == 0 {
			last, since = n, time.Now()
		}
		if quiet := time.Since(since); quiet < 500*time.Millisecond {
			return fmt.Errorf("%d bytes written, quiet for %s", last, quiet)
		}
		return nil
	})
	return last
}

func anonymous(t *testing.T, p *meshtest.Pod) int64 {
	t.Helper()
	n, err := p.Envoy.MemoryAnon()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type countWrites struct{ n *atomic.Int64 }

func (c countWrites) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// A body that breaks off half way is an error at the other end too, never a short
// body that looks whole; and a caller that gives up is known to the app.
func TestBrokenBodyIsNotAWholeOne(t *testing.T) {
	t.Parallel()
	m, client, server, _ := protocolMesh(t)
	gone := make(chan error, 8)
	server.Serve(8080, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			http.NewResponseController(w).Flush() //nolint:errcheck // the caller looks
			<-r.Context().Done()
			gone <- r.Context().Err()
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 100_000)) //nolint:errcheck // the caller looks
		http.NewResponseController(w).Flush()       //nolint:errcheck // the caller looks
		panic(http.ErrAbortHandler)                 // cuts the connection, or resets the stream
	}))
	url := "http://" + m.Service("shop", "server").String()
	for name, c := range map[string]*http.Client{"HTTP/1": client.Client(), "HTTP/2": client.H2Client()} {
		t.Run(name, func(t *testing.T) {
			if r, err := meshtest.Do(t.Context(), c, url, meshtest.Request{}); err == nil {
				t.Errorf("a response that broke off: %d, %d bytes, no error", r.Status, len(r.Body))
			}
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/slow", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			cancel()
			select {
			case err := <-gone:
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the app was not told that its caller has gone")
			}
		})
	}
}
