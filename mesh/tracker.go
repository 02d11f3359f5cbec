package mesh

import (
	"net/netip"
	"slices"
	"sync"
)

// Tracker is a View that remembers every Key it was asked for, found or not: what
// somebody built from it must be built anew when one of these changes. A key is
// noted before it is looked up, so no change can slip in between. Safe for
// concurrent use.
type Tracker struct {
	view View

	mu   sync.Mutex
	list []Key
	seen map[Key]struct{} // nil while list is short
}

var _ View = (*Tracker)(nil)

// Track returns a Tracker that reads v.
func Track(v View) *Tracker { return &Tracker{view: v} }

// Keys returns what was asked for so far, sorted, each once.
func (t *Tracker) Keys() []Key {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := slices.Clone(t.list)
	slices.SortFunc(keys, Key.Compare)
	return keys
}

// fewKeys is how many keys are searched one by one: most resources read less.
const fewKeys = 16

func (t *Tracker) note(k Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.seen != nil:
		if _, ok := t.seen[k]; ok {
			return
		}
		t.seen[k] = struct{}{}
	case slices.Contains(t.list, k):
		return
	case len(t.list) == fewKeys:
		t.seen = make(map[Key]struct{}, 4*fewKeys)
		for _, old := range t.list {
			t.seen[old] = struct{}{}
		}
		t.seen[k] = struct{}{}
	}
	t.list = append(t.list, k)
}

// Settings implements View.
func (t *Tracker) Settings() *Settings {
	t.note(Key{Kind: KindSettings})
	return t.view.Settings()
}

// Namespace implements View.
func (t *Tracker) Namespace(name string) *Namespace {
	t.note(Key{Kind: KindNamespace, Name: Name{Name: name}})
	return t.view.Namespace(name)
}

// Service implements View.
func (t *Tracker) Service(name Name) *Service {
	t.note(Key{Kind: KindService, Name: name})
	return t.view.Service(name)
}

// Endpoints implements View.
func (t *Tracker) Endpoints(service Name) *Endpoints {
	t.note(Key{Kind: KindEndpoints, Name: service})
	return t.view.Endpoints(service)
}

// Pod implements View.
func (t *Tracker) Pod(name Name) *Pod {
	t.note(Key{Kind: KindPod, Name: name})
	return t.view.Pod(name)
}

// Owner implements View.
func (t *Tracker) Owner(address netip.Addr) Owner {
	address = plain(address)
	t.note(Key{Kind: KindAddress, Address: address})
	return t.view.Owner(address)
}

// Sharers implements View.
func (t *Tracker) Sharers(address netip.Addr) []Name {
	address = plain(address)
	t.note(Key{Kind: KindAddress, Address: address})
	return t.view.Sharers(address)
}

// Routes implements View.
func (t *Tracker) Routes(parent Name) []*Route {
	t.note(Key{Kind: KindRoutes, Name: parent})
	return t.view.Routes(parent)
}

// External implements View.
func (t *Tracker) External() []netip.Addr {
	t.note(Key{Kind: KindExternal})
	return t.view.External()
}
