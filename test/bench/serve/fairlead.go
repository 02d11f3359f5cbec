package serve

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/test/bench/drive"
	"github.com/fairlead/fairlead/test/bench/plane"
	"github.com/fairlead/fairlead/test/bench/world"
)

// fairlead is the control plane as it is: the real translation, of a store that
// holds the world.
type fairlead struct {
	*plane.Plane
	world  world.World
	broken bool // one endpoint of Service 0 is not ready
}

func newFairlead(s Start, a *certs.Authority) (server, error) {
	p, err := plane.New(a, ServerName)
	if err != nil {
		return nil, err
	}
	p.Store.Apply(s.World.Batch())
	f := &fairlead{Plane: p, world: s.World}
	if err := f.writeProxies(s.ProxiesFile); err != nil {
		return nil, fmt.Errorf("%s: %w", s.ProxiesFile, err)
	}
	return f, nil
}

// writeProxies gives every pod a token. The scout, the last one, calls everything.
func (f *fairlead) writeProxies(file string) error {
	who := make([]drive.Proxy, f.world.Proxies+1)
	for i := range who {
		pod := f.world.Pod(i)
		token, err := f.Token(pod)
		if err != nil {
			return err
		}
		who[i] = drive.Proxy{Node: pod.Name.String(), Token: token, Destinations: f.world.Calls(i)}
	}
	who[f.world.Proxies].Destinations = f.world.AllClusters()
	text, err := json.Marshal(who)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// flip applies an EndpointSlice: from there on everything is the server's work.
func (f *fairlead) flip() error {
	f.broken = !f.broken
	f.Store.Apply(mesh.Batch{Slices: []*mesh.Slice{f.world.Slice(0, !f.broken)}})
	return nil
}

func (f *fairlead) serve(l net.Listener) error { return f.Serve(l) }

func (f *fairlead) stop() {
	if err := f.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: fairlead server: %v\n", err)
	}
}
