package mesh

import (
	"maps"
	"net/netip"
	"slices"
)

// Settings implements View.
func (s *Store) Settings() *Settings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.settings
}

// Namespace implements View.
func (s *Store) Namespace(name string) *Namespace {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.namespaces[name]
}

// Service implements View.
func (s *Store) Service(name Name) *Service {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.services[name]
}

// Endpoints implements View.
func (s *Store) Endpoints(service Name) *Endpoints {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.backings[service]; b != nil {
		return b.endpoints
	}
	return nil
}

// Pod implements View.
func (s *Store) Pod(name Name) *Pod {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pods[name]
}

// Owner implements View.
func (s *Store) Owner(address netip.Addr) Owner {
	s.mu.RLock()
	defer s.mu.RUnlock()
	address = plain(address)
	return s.addresses[address].owner(address)
}

// Sharers implements View.
func (s *Store) Sharers(address netip.Addr) []Name {
	s.mu.RLock()
	defer s.mu.RUnlock()
	address = plain(address)
	return s.addresses[address].sharers(address)
}

// Routes implements View.
func (s *Store) Routes(parent Name) []*Route {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.parents[parent]
}

// External implements View.
func (s *Store) External() []netip.Addr {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.external
}

// PodByUID returns the pod with that UID, or nil.
func (s *Store) PodByUID(uid string) *Pod {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.uids[uid]
}

// PodsOf returns the pods of a workload, sorted by name.
func (s *Store) PodsOf(w Workload) []*Pod {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.workloads[w])
}

// Account returns the service account of that name, or nil.
func (s *Store) Account(name Name) *ServiceAccount {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accounts[name]
}

// Services returns all Services, sorted by name.
func (s *Store) Services() []*Service {
	return sorted(s, s.services, func(a, b *Service) int { return a.Name.Compare(b.Name) })
}

// Pods returns all pods, sorted by name.
func (s *Store) Pods() []*Pod { return sorted(s, s.pods, comparePods) }

// Accounts returns all service accounts, sorted by name.
func (s *Store) Accounts() []*ServiceAccount {
	return sorted(s, s.accounts, func(a, b *ServiceAccount) int { return a.Name.Compare(b.Name) })
}

// Namespaces returns all namespaces, sorted by name.
func (s *Store) Namespaces() []*Namespace {
	return sorted(s, s.namespaces, func(a, b *Namespace) int {
		return Name{Name: a.Name}.Compare(Name{Name: b.Name})
	})
}

// AllRoutes returns all routes, whatever their parents: oldest first, then by
// namespace and name.
func (s *Store) AllRoutes() []*Route { return sorted(s, s.routes, compareRoutes) }

func sorted[K comparable, V any](s *Store, m map[K]*V, compare func(a, b *V) int) []*V {
	s.mu.RLock()
	list := slices.Collect(maps.Values(m))
	s.mu.RUnlock()
	slices.SortFunc(list, compare)
	return list
}
