package localissuer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/mesh"
)

// The files that every volume has, besides those of the caller.
const (
	TokenFile = "token"
	RootFile  = "root.pem"
)

const (
	minTokenLife = 2 * time.Second
	// retryAfter is the wait after a volume could not be written (disk full, say).
	retryAfter = 5 * time.Second
)

// ProjectorConfig says what a Projector writes.
type ProjectorConfig struct {
	// Dir holds a folder for each pod, <namespace>/<name>. It is made, passable for
	// everyone and readable for none; who owns the folders above it must let Envoy's
	// user pass. Nothing else should be in it.
	Dir    string
	Issuer *Issuer
	// Trust is where the trust bundle comes from.
	Trust *certs.Authority
	// Files returns what else a volume holds, by name, given the path of the volume:
	// the SDS files, in which that path stands. Nil: nothing else.
	Files func(volume string) map[string][]byte
	// Owner is the user that may read the volumes; nil is the one that we run as.
	Owner *Owner
	// TokenLife is at least 2 s; DefaultTokenLife if 0.
	TokenLife time.Duration
	// Logger hears of volumes that cannot be written; slog.Default if nil.
	Logger *slog.Logger
}

// Projector keeps one volume for each pod: a token that is always good and the
// trust bundle. Safe for concurrent use.
type Projector struct {
	// Set once.
	config ProjectorConfig
	root   *os.Root
	wake   chan struct{} // holds one: the pods changed, Run must look at its timer

	mu sync.Mutex
	// Under mu.
	volumes map[mesh.Name]*projected
	swept   bool // what an earlier run left behind has been removed
}

// projected is what one volume holds.
type projected struct {
	pod     Pod
	bundle  string    // ID of the trust bundle; "" until the first write worked
	renewAt time.Time // of the token, or of the next try
}

// NewProjector makes the folder. Close releases it.
func NewProjector(c ProjectorConfig) (*Projector, error) {
	if c.Issuer == nil || c.Trust == nil || c.Dir == "" {
		return nil, errors.New("projector: a folder, an issuer and a trust bundle are needed")
	}
	if c.TokenLife == 0 {
		c.TokenLife = DefaultTokenLife
	}
	if c.TokenLife < minTokenLife {
		return nil, fmt.Errorf("projector: token life %v: must be at least %v", c.TokenLife, minTokenLife)
	}
	if c.Files == nil {
		c.Files = func(string) map[string][]byte { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("projector: %w", err)
	}
	c.Dir = dir
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("projector: %w; name another folder, or make it writable", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("projector: %w", err)
	}
	return &Projector{
		config: c, root: root,
		wake:    make(chan struct{}, 1),
		volumes: map[mesh.Name]*projected{},
	}, nil
}

// Close releases the folder. The volumes stay.
func (p *Projector) Close() error { return p.root.Close() }

// Path returns where the volume of a pod is, whether or not there is one.
func (p *Projector) Path(pod mesh.Name) string {
	return filepath.Join(p.config.Dir, pod.Namespace, pod.Name)
}

// Sync makes these pods the ones that have a volume, now: when it returns without
// an error each of them has a good token. The volumes of all others are removed. A
// volume that cannot be written does not keep others from being written; Run tries
// it again.
func (p *Projector) Sync(pods []Pod) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeUp()
	wanted := make(map[mesh.Name]Pod, len(pods))
	var errs []error
	for _, pod := range pods {
		if !plain(pod.Name.Namespace) || !plain(pod.Name.Name) {
			errs = append(errs, fmt.Errorf("pod %q: its name cannot be a folder's", pod.Name))
			continue
		}
		wanted[pod.Name] = pod
	}
	for name, have := range p.volumes {
		if wanted[name] == have.pod {
			delete(wanted, name)
			continue
		}
		if _, stays := wanted[name]; !stays {
			errs = append(errs, p.remove(name))
		}
		delete(p.volumes, name)
	}
	for name, pod := range wanted {
		p.volumes[name] = &projected{pod: pod}
	}
	if !p.swept {
		errs = append(errs, p.sweep())
		p.swept = true
	}
	return errors.Join(append(errs, p.refresh(time.Now()))...)
}

// Run renews the volumes, until ctx ends: a token at 80% of its life (as the
// kubelet does), everything when the trust bundle changes. It returns nil.
func (p *Projector) Run(ctx context.Context) error {
	bundles := p.config.Trust.Subscribe(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-bundles:
			if !ok {
				return nil
			}
		case <-p.wake:
		case <-timer.C:
		}
		p.mu.Lock()
		if err := p.refresh(time.Now()); err != nil {
			p.config.Logger.Error("volumes of local pods could not be written, trying again", slog.Any("error", err), slog.Duration("after", retryAfter))
		}
		next := p.next()
		p.mu.Unlock()
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// Refresh writes the volumes that need it now: when it returns without an error,
// each holds the present trust bundle.
func (p *Projector) Refresh() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeUp()
	return p.refresh(time.Now())
}

// refresh writes the volumes that need it; mu is held.
func (p *Projector) refresh(now time.Time) error {
	bundle := p.config.Trust.Bundle()
	var errs []error
	for name, have := range p.volumes {
		if have.bundle == bundle.ID() && now.Before(have.renewAt) {
			continue
		}
		renewAt, err := p.write(have.pod, bundle, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("volume of pod %s: %w", name, err))
			*have = projected{pod: have.pod, renewAt: now.Add(retryAfter)}
			continue
		}
		have.bundle, have.renewAt = bundle.ID(), renewAt
	}
	return errors.Join(errs...)
}

// next returns when the first volume is to be renewed, zero if there is none; mu is
// held.
func (p *Projector) next() time.Time {
	var first time.Time
	for _, have := range p.volumes {
		if first.IsZero() || have.renewAt.Before(first) {
			first = have.renewAt
		}
	}
	return first
}

// write writes one volume and returns when its token is to be renewed.
func (p *Projector) write(pod Pod, bundle certs.Bundle, now time.Time) (time.Time, error) {
	minted, end, err := p.config.Issuer.Mint(pod, p.config.TokenLife)
	if err != nil {
		return time.Time{}, err
	}
	files := map[string][]byte{}
	for name, content := range p.config.Files(p.Path(pod.Name)) {
		files[name] = content
	}
	files[TokenFile], files[RootFile] = minted.Reveal(), bundle.PEM()

	dir := pod.Name.Namespace + "/" + pod.Name.Name
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{pod.Name.Namespace, 0o711}, {dir, 0o700}} {
		if err := p.root.Mkdir(d.path, d.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return time.Time{}, err
		}
	}
	root, err := p.root.OpenRoot(dir)
	if err != nil {
		return time.Time{}, err
	}
	defer root.Close()
	v := volume{root: root, owner: p.config.Owner}
	if err := v.write(files, now); err != nil {
		return time.Time{}, err
	}
	if p.config.Owner != nil { // last: until then nobody else can get in
		if err := p.root.Lchown(dir, p.config.Owner.UID, p.config.Owner.GID); err != nil {
			return time.Time{}, err
		}
	}
	return now.Add(end.Sub(now) * 8 / 10), nil
}

// sweep removes the volumes of pods that went away while nobody looked. It leaves
// alone what is not a volume.
func (p *Projector) sweep() error {
	links, err := fs.Glob(p.root.FS(), "*/*/"+dataLink)
	if err != nil {
		return fmt.Errorf("projector: %w", err)
	}
	var errs []error
	for _, l := range links {
		parts := strings.Split(l, "/")
		name := mesh.Name{Namespace: parts[0], Name: parts[1]}
		if _, wanted := p.volumes[name]; !wanted {
			errs = append(errs, p.remove(name))
		}
	}
	return errors.Join(errs...)
}

// remove removes a pod's volume, and its namespace's folder with the last one.
func (p *Projector) remove(pod mesh.Name) error {
	if err := p.root.RemoveAll(pod.Namespace + "/" + pod.Name); err != nil {
		return fmt.Errorf("volume of pod %s, which went away: %w", pod, err)
	}
	_ = p.root.Remove(pod.Namespace) // fails if there are others
	return nil
}

func (p *Projector) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// plain reports that s can be the name of a folder.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}
