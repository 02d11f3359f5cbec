package mesh

import (
	"net/netip"
	"slices"
	"sync"
)

// Store holds the present values. Apply is its one writer's door; everything else
// may be called concurrently.
//
// Locks, in order: writing, mu, subscribing. Readers take mu only.
type Store struct {
	// writing is held from the first change of a batch to its last notification,
	// so that subscribers see the batches in order.
	writing sync.Mutex

	// mu guards what follows. The values themselves are immutable; endpoints and
	// routes are lists that are replaced and never modified.
	mu         sync.RWMutex
	settings   *Settings
	services   map[Name]*Service
	pods       map[Name]*Pod
	namespaces map[string]*Namespace
	accounts   map[Name]*ServiceAccount
	slices     map[Name]*Slice
	routes     map[Object]*Route

	backings  map[Name]*backing       // by Service: what stands behind it
	addresses map[netip.Addr]*address // who owns an address, and who lists it
	workloads map[Workload][]*Pod     // sorted by name, modified in place
	uids      map[string]*Pod
	parents   map[Name][]*Route  // by parent Service, sorted by compareRoutes
	claims    map[netip.Addr]int // how many Services list an address as external
	external  []netip.Addr       // the keys of claims, sorted; replaced, never modified
	http      httpPorts

	subscribing sync.Mutex
	subscribers []*subscriber // replaced, never modified
}

type subscriber struct{ notify func([]Key) }

// backing is what stands behind a Service, whether the Service exists or not.
type backing struct {
	service   Name
	slices    []*Slice // sorted by name
	endpoints *Endpoints
}

// address is what is known of one address.
type address struct {
	services []*Service // that claim it; the first one has it
	pods     []*Pod     // that claim it; the first one has it
	users    []*backing // whose endpoints contain it
	unknown  int        // how many of users say that it is a pod's which is not known to have it
}

func (a *address) empty() bool { return len(a.services)+len(a.pods)+len(a.users) == 0 }

// owner says whose the address at is, of which a is the record. What a Service
// merely lists as external counts last: anybody who may create a Service can list
// a pod's address (CVE-2020-8554).
func (a *address) owner(at netip.Addr) Owner {
	switch {
	case a == nil:
		return Owner{}
	case len(a.services) > 0 && a.services[0].hasClusterIP(at):
		return Owner{Service: a.services[0].Name}
	case len(a.pods) > 0:
		return Owner{Pod: a.pods[0].Name}
	case a.unknown > 0:
		return Owner{UnknownPod: true}
	case len(a.services) > 0:
		return Owner{Service: a.services[0].Name}
	}
	return Owner{}
}

func (a *address) sharers(at netip.Addr) []Name {
	if a.owner(at).Service.IsZero() {
		return nil
	}
	names := make([]Name, len(a.services))
	for i, s := range a.services {
		names[i] = s.Name
	}
	return names
}

var _ View = (*Store)(nil)

// NewStore returns an empty store. An empty trust domain is DefaultTrustDomain.
func NewStore(settings Settings) *Store {
	return &Store{
		settings:   settings.withDefaults(),
		services:   map[Name]*Service{},
		pods:       map[Name]*Pod{},
		namespaces: map[string]*Namespace{},
		accounts:   map[Name]*ServiceAccount{},
		slices:     map[Name]*Slice{},
		routes:     map[Object]*Route{},
		backings:   map[Name]*backing{},
		addresses:  map[netip.Addr]*address{},
		workloads:  map[Workload][]*Pod{},
		uids:       map[string]*Pod{},
		parents:    map[Name][]*Route{},
		claims:     map[netip.Addr]int{},
		http:       newHTTPPorts(),
	}
}

func (s Settings) withDefaults() *Settings {
	if s.TrustDomain == "" {
		s.TrustDomain = DefaultTrustDomain
	}
	return &s
}

// Apply makes the batch visible, all of it at once, and returns the keys of the
// values that are now different, sorted. Objects that are equal to what was there
// change nothing. Its cost follows what the batch touches, not what the store
// holds. Subscribers are called before it returns; the keys are shared with them
// and must not be modified. Concurrent calls wait for each other.
func (s *Store) Apply(b Batch) []Key {
	s.writing.Lock()
	defer s.writing.Unlock()
	keys := s.commit(&b)
	if len(keys) > 0 {
		s.subscribing.Lock()
		subscribers := s.subscribers
		s.subscribing.Unlock()
		for _, sub := range subscribers {
			sub.notify(keys)
		}
	}
	return keys
}

func (s *Store) commit(b *Batch) []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := change{Store: s}
	for _, o := range b.Deleted {
		c.remove(o)
	}
	if b.Settings != nil {
		c.setSettings(b.Settings.withDefaults())
	}
	for _, n := range b.Namespaces {
		c.setNamespace(n.Name, n)
	}
	for _, a := range b.Accounts {
		s.accounts[a.Name] = a
	}
	for _, v := range b.Services {
		c.setService(v.Name, v)
	}
	for _, v := range b.Pods {
		c.setPod(v.Name, v)
	}
	for _, v := range b.Slices {
		c.setSlice(v.Name, v)
	}
	for _, v := range b.Routes {
		c.setRoute(v.id(), v)
	}
	return c.finish()
}

// Subscribe has f called with the keys of each change, in order, by the writer and
// after the new values are visible. The next change waits until f returns, so f
// only notes the keys. It must not call Apply, nor modify the keys. A call that is
// under way when cancel is called may end after it.
func (s *Store) Subscribe(f func([]Key)) (cancel func()) {
	sub := &subscriber{notify: f}
	s.subscribing.Lock()
	defer s.subscribing.Unlock()
	s.subscribers = append(slices.Clip(s.subscribers), sub)
	return func() {
		s.subscribing.Lock()
		defer s.subscribing.Unlock()
		s.subscribers = slices.DeleteFunc(slices.Clone(s.subscribers), func(o *subscriber) bool { return o == sub })
	}
}
