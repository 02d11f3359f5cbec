package lab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead/fairlead/injector/redirect"
)

// PodSpec says what pod to make.
type PodSpec struct {
	Namespace      string // "default" unless set
	Name           string
	ServiceAccount string // "default" unless set
	Labels         map[string]string
	Annotations    map[string]string
	// Meshed pods are annotated as injected. The sidecar itself: StartEnvoy, Redirect.
	Meshed bool
	// Ports are what the pod's container declares, for the manifest only.
	Ports map[string]uint16
	// Owner is the object that made the pod, for the manifest only.
	Owner *metav1.OwnerReference
	// Addresses are the pod's own, one of a family at most, within PodRanges. A family
	// of the lab's without one gets the next free one, unless any is named here.
	Addresses []netip.Addr
	// ExtraAddresses are others that lead to this pod: of the world outside, or of a
	// load balancer.
	ExtraAddresses []netip.Addr
}

// Pod is a running pod: a namespace and what the API server would say of it.
type Pod struct {
	*Netns
	// Spec has every default filled in. Read only.
	Spec PodSpec
	UID  string

	number int // of its interface
}

// AddPod makes a pod without any process in it.
func (l *Lab) AddPod(s PodSpec) (*Pod, error) {
	if s.Namespace == "" {
		s.Namespace = "default"
	}
	if s.ServiceAccount == "" {
		s.ServiceAccount = "default"
	}
	s.Labels, s.Annotations = maps.Clone(s.Labels), maps.Clone(s.Annotations)
	key := s.Namespace + "/" + s.Name
	if s.Name == "" || strings.ContainsAny(s.Namespace+s.Name, "/_*?[\\") {
		return nil, fmt.Errorf("lab: pod %q: give a name as Kubernetes takes it", key)
	}
	l.alive.RLock() // Close waits
	defer l.alive.RUnlock()
	number, err := l.reserve(key, &s)
	if err != nil {
		return nil, fmt.Errorf("lab: pod %s: %w", key, err)
	}
	p, err := l.makePod(s, number)
	if err != nil {
		l.release(key, s.Addresses)
		return nil, fmt.Errorf("lab: pod %s: %w", key, err)
	}
	l.mu.Lock()
	l.pods[key] = p
	l.mu.Unlock()
	l.log.Info("pod made", "pod", key, "addresses", s.Addresses)
	return p, nil
}

// reserve takes the pod's name and addresses, and numbers its interface.
func (l *Lab) reserve(key string, s *PodSpec) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, errors.New("the lab is closed")
	}
	if _, ok := l.pods[key]; ok {
		return 0, errors.New("there is one of that name; choose another, or delete it first")
	}
	if l.addresses.taken == nil {
		l.addresses.taken = map[netip.Addr]bool{nodeAddress4(): true, nodeAddress6(): true}
	}
	addresses := slices.Clone(s.Addresses)
	for _, a := range addresses {
		if l.addresses.taken[a] || !rangeOf(a).Contains(a) {
			return 0, fmt.Errorf("address %s is taken, or not within %v", a, PodRanges())
		}
	}
	if len(addresses) == 0 {
		a, err := l.addresses.take(&l.addresses.next4, firstAddress4(), podRange4())
		if err != nil {
			return 0, err
		}
		addresses = append(addresses, a)
		if l.options.IPv6 {
			if a, err = l.addresses.take(&l.addresses.next6, firstAddress6(), podRange6()); err != nil {
				return 0, err
			}
			addresses = append(addresses, a)
		}
	}
	for _, a := range addresses {
		l.addresses.taken[a] = true
	}
	s.Addresses = addresses
	l.pods[key] = nil
	l.veths++
	return l.veths, nil
}

func (l *Lab) release(key string, addresses []netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pods, key)
	for _, a := range addresses {
		delete(l.addresses.taken, a)
	}
}

func (l *Lab) makePod(s PodSpec, number int) (*Pod, error) {
	n, err := l.newNetns(s.Namespace + "_" + s.Name)
	if err != nil {
		return nil, err
	}
	if err := l.connect(n, number, s.Addresses, s.ExtraAddresses); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return &Pod{Netns: n, Spec: s, UID: newUID(), number: number}, nil
}

// newUID is a random UUID (RFC 9562, section 5.4), as the API server gives to a pod.
func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Delete kills the pod's processes and deletes its namespace. Its addresses can be
// given to another pod at once. It is no error if it was deleted before.
func (p *Pod) Delete() error {
	p.lab.alive.RLock() // Close waits
	defer p.lab.alive.RUnlock()
	if p.lab.Pod(p.Spec.Namespace, p.Spec.Name) != p {
		return nil // deleted already
	}
	var errs []error
	for _, process := range p.lab.processesOf(p.Netns) {
		errs = append(errs, process.Kill())
	}
	errs = append(errs, p.lab.disconnect(p.number), p.Netns.close())
	p.lab.release(p.Key(), p.Spec.Addresses)
	return errors.Join(errs...)
}

// Key is "namespace/name".
func (p *Pod) Key() string { return p.Spec.Namespace + "/" + p.Spec.Name }

// Address is the pod's first address.
func (p *Pod) Address() netip.Addr { return p.Spec.Addresses[0] }

// Address6 is the pod's IPv6 address; the zero Addr if it has none.
func (p *Pod) Address6() netip.Addr {
	for _, a := range p.Spec.Addresses {
		if a.Is6() {
			return a
		}
	}
	return netip.Addr{}
}

// Redirect sends the pod's connections through its sidecar, as the init container
// does.
func (p *Pod) Redirect(o redirect.Options) error {
	plan, err := redirect.MakePlan(o)
	if err != nil {
		return err
	}
	return p.Do(plan.Apply)
}
