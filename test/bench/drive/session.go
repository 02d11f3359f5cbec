package drive

import (
	"maps"
	"slices"

	"github.com/fairlead/fairlead/test/bench/wire"
)

// stage is how far a stream has come. Envoy asks for listeners when the clusters
// are warm; the apps call when the listeners are there.
type stage uint8

const (
	clusters stage = iota
	listeners
	destinations
	synced
)

// open sends the first requests of a stream.
func (p *proxy) open() error {
	switch {
	case p.fleet.target.Bare:
		return p.openBare()
	case len(p.held[wire.Listener]) > 0:
		return p.resume()
	}
	p.forget() // what a stream that broke off early had asked for
	p.stage = clusters
	if names := p.fleet.target.Clusters; names != nil {
		if len(names) == 0 { // a subscription without names would be a wildcard
			return p.advance()
		}
		if err := p.subscribe(wire.Cluster, names...); err != nil {
			return err
		}
		return p.advance()
	}
	return p.subscribe(wire.Cluster)
}

// openBare waits for the header, by which the server says that the stream is open.
func (p *proxy) openBare() error {
	p.stage = synced
	if err := p.send(wire.Request{TypeURL: wire.Endpoint.URL()}); err != nil {
		return err
	}
	_, err := p.stream.Header()
	return err
}

// resume subscribes again to everything, as Envoy does: "*" and every name, with
// the versions that are held. Last comes the marker.
func (p *proxy) resume() error {
	p.stage = destinations
	for t := range wire.NumTypes {
		if len(p.subscribed[t]) == 0 && !p.wildcard[t] {
			continue
		}
		names := slices.Collect(maps.Keys(p.subscribed[t]))
		if p.wildcard[t] && len(names) > 0 {
			names = append(names, "*")
		}
		held := make([]wire.Held, 0, len(p.held[t]))
		for name, version := range p.held[t] {
			held = append(held, wire.Held{Name: name, Version: version})
		}
		if err := p.send(wire.Request{TypeURL: t.URL(), Subscribe: names, Versions: held}); err != nil {
			return err
		}
	}
	if p.now == nil || p.now.marker == "" { // lost after it was synced
		p.stage = synced
		return nil
	}
	delete(p.held[wire.Endpoint], p.now.marker)
	delete(p.subscribed[wire.Endpoint], p.now.marker)
	return p.subscribe(wire.Endpoint, p.now.marker)
}

// advance goes on to the next stage when everything asked for has been answered.
func (p *proxy) advance() error {
	for len(p.waiting) == 0 && p.stage != synced {
		p.stage++
		var err error
		switch p.stage {
		case listeners:
			err = p.subscribe(wire.Listener)
		case destinations:
			err = p.call()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// call asks for the destinations on demand, but for those that the server pushed.
func (p *proxy) call() error {
	var unknown []string
	for _, name := range p.who.Destinations {
		if _, ok := p.held[wire.Cluster][name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return p.subscribe(wire.Cluster, unknown...)
}

// subscribe asks for names that were not asked for; without names, for the
// wildcard.
func (p *proxy) subscribe(t wire.Type, names ...string) error {
	first := len(p.subscribed[t]) == 0 && !p.wildcard[t]
	if len(names) == 0 {
		if p.wildcard[t] || !first {
			return nil
		}
		p.wildcard[t] = true
		p.waiting[wire.Ref{Type: t}] = true
	}
	var fresh []string
	for _, name := range names {
		if !p.subscribed[t][name] {
			p.subscribed[t][name] = true
			p.waiting[wire.Ref{Type: t, Name: name}] = true
			fresh = append(fresh, name)
		}
	}
	if len(names) > 0 && len(fresh) == 0 {
		return nil
	}
	return p.send(wire.Request{TypeURL: t.URL(), Subscribe: fresh})
}

// receive handles one response: note, acknowledge, ask for what it refers to.
func (p *proxy) receive(data []byte, at int64) error {
	f := p.fleet
	r, err := wire.ParseResponse(data)
	if err != nil {
		return err
	}
	f.messages.Add(1)
	f.bytes.Add(int64(len(data)))
	f.resources.Add(int64(len(r.Resources)))
	t, ok := wire.TypeOf(r.TypeURL)
	if !ok {
		return nil // a type that nobody asked for: not acknowledged
	}
	if p.hook != nil {
		p.hook(p.stage, t, r, data)
	}
	var refs []wire.Ref
	for _, res := range r.Resources {
		if p.held[t][res.Name] == res.Version {
			f.equal.Add(1)
		} else if t == wire.Endpoint {
			f.flip.Load().arrived(p.index, res.Name, at)
		}
		p.held[t][res.Name] = res.Version
		delete(p.waiting, wire.Ref{Type: t, Name: res.Name})
		more, err := f.refs.Of(t, res)
		if err != nil {
			return err
		}
		refs = append(refs, more...)
	}
	for _, name := range r.Removed {
		delete(p.held[t], name)
		delete(p.waiting, wire.Ref{Type: t, Name: name})
	}
	delete(p.waiting, wire.Ref{Type: t})
	if err := p.send(wire.Request{TypeURL: r.TypeURL, Nonce: r.Nonce}); err != nil {
		return err
	}
	if err := p.follow(refs); err != nil {
		return err
	}
	return p.advance()
}

// follow subscribes to refs, one request per type.
func (p *proxy) follow(refs []wire.Ref) error {
	if len(refs) == 0 || p.fleet.target.Bare {
		return nil
	}
	if p.waiting == nil { // pushed after everything was synced
		p.waiting = map[wire.Ref]bool{}
	}
	var names [wire.NumTypes][]string
	var wildcard [wire.NumTypes]bool
	for _, r := range refs {
		if r.Name == "" {
			wildcard[r.Type] = true
		} else {
			names[r.Type] = append(names[r.Type], r.Name)
		}
	}
	for t := range wire.NumTypes {
		if wildcard[t] {
			if err := p.subscribe(t); err != nil {
				return err
			}
		}
		if len(names[t]) > 0 {
			if err := p.subscribe(t, names[t]...); err != nil {
				return err
			}
		}
	}
	return nil
}

// send adds the node to the first request of a stream.
func (p *proxy) send(r wire.Request) error {
	if !p.named {
		p.named, r.Node = true, p.node
	}
	return p.stream.SendMsg(r.Encode())
}
