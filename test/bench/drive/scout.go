package drive

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/fairlead/fairlead/test/bench/wire"
)

// Capture is what one server sent, so that its peers can be given the same bytes.
type Capture struct {
	Resources []Captured `json:"resources"`
	// Clusters are those that came without being asked for by name.
	Clusters []string `json:"clusters"`
	// Flips are the responses that told of the changes of FlipName, in order.
	FlipName string   `json:"flipName"`
	Flips    [][]byte `json:"flips"`
}

// Captured is a resource; Body is the encoded google.protobuf.Any.
type Captured struct {
	Type    wire.Type `json:"type"`
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Body    []byte    `json:"body"`
}

// ReadCapture reads what Fleet.Save wrote.
func ReadCapture(file string) (Capture, error) {
	var c Capture
	text, err := os.ReadFile(file)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

// Scout says which proxy records.
type Scout struct {
	Index    int           `json:"index"`
	FlipName string        `json:"flipName"`
	Timeout  time.Duration `json:"timeout"`
}

type recorder struct {
	mu  sync.Mutex
	got Capture
}

func (r *recorder) record(at stage, t wire.Type, resp wire.Response, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range resp.Resources {
		if at == synced {
			if t == wire.Endpoint && res.Name == r.got.FlipName {
				r.got.Flips = append(r.got.Flips, frame)
			}
			continue
		}
		r.got.Resources = append(r.got.Resources, Captured{Type: t, Name: res.Name, Version: res.Version, Body: res.Body})
		if at == clusters && t == wire.Cluster {
			r.got.Clusters = append(r.got.Clusters, res.Name)
		}
	}
}

// Scout connects one proxy that records what it is sent until Save.
func (f *Fleet) Scout(ctx context.Context, s Scout) (Connected, error) {
	f.recorder = &recorder{got: Capture{FlipName: s.FlipName, Clusters: []string{}}}
	f.proxies[s.Index].hook = f.recorder.record
	return f.Connect(ctx, Connect{First: s.Index, Count: 1, Forget: true, Timeout: s.Timeout})
}

// Save ends the recording and writes it to a file.
func (f *Fleet) Save(file string) error {
	f.Disconnect()
	text, err := json.Marshal(f.recorder.got)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
