package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options say what a Lab is like. The zero value is fine.
type Options struct {
	// Name is part of the names of the namespaces, for a person to read: lower-case
	// letters, digits and dashes; "lab" unless set.
	Name string
	// Dir is where logs and other files go. Unless set, New makes one under the
	// temporary folder, and Close removes it. It must be one that every user may pass
	// through if processes of other users are to read in it (os.MkdirTemp and
	// testing.T.TempDir make others).
	Dir string
	// Envoy is the path of the binary; what EnvoyPath finds unless set.
	Envoy string
	// IPv6 gives every pod an IPv6 address too.
	IPv6 bool
	// Log is told what starts and ends; nobody unless set.
	Log *slog.Logger
}

// Lab is a node with pods. Its methods may be called concurrently.
type Lab struct {
	// Set once by New.
	id      string
	dir     string
	ownDir  bool
	options Options
	log     *slog.Logger
	host    int // namespace of this process
	spawner *spawner
	hosts   *hostsFile
	lock    *os.File
	node    *Netns
	link    *netlink.Handle // in the node's namespace
	bridge  netlink.Link

	// alive is held for reading while a pod is made, for writing by Close.
	alive sync.RWMutex

	mu        sync.Mutex // guards what follows
	pods      map[string]*Pod
	processes map[*Process]struct{}
	addresses addressPool
	veths     int
	closed    bool
}

// New makes a lab without pods. Whatever fails, nothing is left behind.
func New(ctx context.Context, o Options) (*Lab, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkRoot(); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "lab"
	}
	if !regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString(o.Name) {
		return nil, fmt.Errorf("lab: Name %q: give lower-case letters, digits and dashes, 40 at most", o.Name)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	random := make([]byte, 3)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	l := &Lab{
		id: o.Name + "-" + hex.EncodeToString(random), options: o, host: -1,
		pods: map[string]*Pod{}, processes: map[*Process]struct{}{},
	}
	l.log = o.Log.With("lab", l.id)
	if err := l.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: %w", l.id, err), l.Close())
	}
	return l, nil
}

func (l *Lab) build() (err error) {
	if l.host, err = unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the namespace of this process: %w", err)
	}
	if err := l.makeDir(); err != nil {
		return err
	}
	if l.lock, err = registerLab(l.id, l.ownDir, l.dir); err != nil {
		return err
	}
	if l.hosts, err = newHostsFile(l.dir); err != nil {
		return err
	}
	if l.spawner, err = newSpawner(); err != nil {
		return err
	}
	return l.buildNode()
}

func (l *Lab) makeDir() error {
	if l.options.Dir != "" {
		dir, err := filepath.Abs(l.options.Dir)
		if err != nil {
			return err
		}
		l.dir = dir
		return os.MkdirAll(dir, 0o755)
	}
	dir, err := os.MkdirTemp("", dirPrefix+"*")
	if err != nil {
		return err
	}
	l.dir, l.ownDir = dir, true
	// The proxy's user must be able to pass through.
	return os.Chmod(dir, 0o755)
}

// ID is the lab's unique name; its namespaces are called fl-<id>-...
func (l *Lab) ID() string { return l.id }

// Dir is the folder of logs. Every user may pass through it.
func (l *Lab) Dir() string { return l.dir }

// Node is the namespace that all pods are connected to; the control plane's place.
func (l *Lab) Node() *Netns { return l.node }

// NodeAddresses are the node's, IPv4 first.
func (l *Lab) NodeAddresses() []netip.Addr {
	if l.options.IPv6 {
		return []netip.Addr{nodeAddress4(), nodeAddress6()}
	}
	return []netip.Addr{nodeAddress4()}
}

// Pod returns the pod of that name, nil if there is none.
func (l *Lab) Pod(namespace, name string) *Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods[namespace+"/"+name]
}

// Close kills the processes, closes the listeners and deletes the namespaces and,
// if New made it, the folder. It may be called again and on a half-made lab; it
// goes on after an error and returns all of them.
func (l *Lab) Close() error {
	l.alive.Lock()
	defer l.alive.Unlock()
	l.mu.Lock()
	l.closed = true
	processes, pods := l.processes, l.pods
	l.processes, l.pods = map[*Process]struct{}{}, map[string]*Pod{}
	l.mu.Unlock()

	var errs []error
	for p := range processes {
		errs = append(errs, p.Kill())
	}
	for _, p := range pods {
		errs = append(errs, p.Netns.close())
	}
	if l.node != nil {
		errs = append(errs, l.node.close())
	}
	if l.link != nil {
		l.link.Close()
		l.link = nil
	}
	if l.spawner != nil {
		l.spawner.close()
	}
	if l.host >= 0 {
		errs = append(errs, unix.Close(l.host))
		l.host = -1
	}
	if l.ownDir {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	if l.lock != nil {
		errs = append(errs, unregisterLab(l.id, l.lock))
		l.lock = nil
	}
	return errors.Join(errs...)
}
