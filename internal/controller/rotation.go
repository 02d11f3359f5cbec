package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/fairlead/fairlead/certs"
)

const (
	// rotationNews is when the log says for the first time whom a rotation waits for.
	// It says so again after twice the time, and so on, up to rotationNewsMax.
	rotationNews    = 10 * time.Second
	rotationNewsMax = 10 * time.Minute
	// reconnectPatience is how long a rotation waits for sidecars without a stream:
	// Envoy tries again after 10 s at the latest (its bootstrap). One that stays away cannot be told
	// apart from one that was never started.
	reconnectPatience = 45 * time.Second
	// rotationSettle lets the handshakes end that began before the last ACK.
	rotationSettle = time.Second
	// rotationPoll is how often a rotation looks whose leaf is not replaced yet.
	rotationPoll = 250 * time.Millisecond
	// lastMoment is the time before the end of a CA at which its successor signs,
	// whoever has not acknowledged it.
	lastMoment = time.Minute
)

// rotation leads changes of the CA to the sidecars, so that nobody shows a
// certificate that another cannot verify, even if all of the CA is replaced in one
// step:
//
//  1. the old and the new roots go to everyone: to the sidecars, who acknowledge
//     them, and into the files by which they know the control plane;
//  2. the new key signs (Authority.Promote), and all leaves are issued anew;
//  3. when every sidecar has acknowledged its new leaf, the roots go that the files
//     no longer hold (Authority.Retire).
//
// Each step waits for the one before. What does not come is named in the log, and
// until then all stays as it is and works: for step 2 until the old key ends, for
// step 3 until the last old leaf has. A change of the files meanwhile begins anew.
type rotation struct {
	authority *certs.Authority
	log       *slog.Logger

	// push makes the server send the present bundle.
	push func()
	// project writes it into the files of the sidecars.
	project func() error
	// acknowledged waits until all sidecars with a stream have ACKed it.
	acknowledged func(context.Context) error
	// reissue has every leaf replaced that is not good any more.
	reissue func()
	// absent names the sidecars without a stream.
	absent func() []string
	// outdated names those with a stream that have not ACKed a leaf of the present
	// signer. Streams that have are noted in done.
	outdated func(done map[uint64]bool) []string

	pushed string // ID of the bundle
}

// run follows the CA until ctx ends.
func (r *rotation) run(ctx context.Context) {
	changes := r.authority.Subscribe(ctx)
	_, open := <-changes
	for open {
		step, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.step(step)
		}()
		_, open = <-changes // what the step waits for has lost its meaning, or the step is done
		cancel()
		<-done
	}
}

// step does what is due now. Promote and Retire are changes themselves, and so
// lead to the next step.
func (r *rotation) step(ctx context.Context) {
	bundle := r.authority.Bundle()
	if bundle.ID() != r.pushed {
		r.push()
		r.pushed = bundle.ID()
	}
	if _, due := r.authority.Promotion(); due {
		r.promote(ctx, bundle)
		return
	}
	r.reissue()
	if _, due := r.authority.Retirement(); due {
		r.retire(ctx)
	}
}

// promote waits until everybody trusts the bundle, then has the new key sign.
func (r *rotation) promote(ctx context.Context, bundle certs.Bundle) {
	start, news := time.Now(), news{}
	for {
		err := r.trusted(ctx, start)
		end, _ := r.authority.Promotion()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			r.log.Info("the CA's new key signs: every sidecar trusts its root")
		case time.Until(end) <= lastMoment:
			r.log.Error("the CA's new key signs because the old one ends, though not every sidecar trusts its root", "error", err)
		default:
			if news.due() {
				r.log.Warn("the CA's old key goes on signing: not every sidecar trusts the root of the new one", "until", end, "error", err)
			}
			continue
		}
		r.authority.Promote(bundle)
		return
	}
}

// trusted waits until everybody trusts the present bundle, but not for ever: then
// it says what is missing.
func (r *rotation) trusted(ctx context.Context, start time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, rotationNews)
	defer cancel()
	err := r.project()
	if err == nil {
		err = r.present(ctx, start)
	}
	if err == nil {
		err = r.acknowledged(ctx)
	}
	if err == nil {
		return pause(ctx, rotationSettle)
	}
	<-ctx.Done()
	return err
}

// present waits for sidecars without a stream, until it is in vain.
func (r *rotation) present(ctx context.Context, start time.Time) error {
	for time.Since(start) < reconnectPatience {
		absent := r.absent()
		if len(absent) == 0 {
			return nil
		}
		if pause(ctx, rotationPoll) != nil {
			return fmt.Errorf("not connected: %s", few(absent))
		}
	}
	return nil
}

// retire waits until nobody shows a leaf of an earlier signer, then drops its root.
func (r *rotation) retire(ctx context.Context) {
	start, news := time.Now(), news{at: time.Now().Add(rotationNews)}
	done := map[uint64]bool{}
	for {
		late := r.outdated(done)
		if time.Since(start) < reconnectPatience {
			late = append(late, r.absent()...)
		}
		end, _ := r.authority.Retirement()
		if len(late) == 0 || time.Now().After(end) {
			break
		}
		if news.due() {
			r.log.Warn("roots that are no longer in the CA's files stay trusted: not every sidecar has its new certificate", "until", end, "missing", few(late))
		}
		if pause(ctx, rotationPoll) != nil {
			return
		}
	}
	if pause(ctx, rotationSettle) == nil && r.authority.Retire() {
		r.log.Info("the roots that are no longer in the CA's files are trusted no more", "bundle", r.authority.Bundle().String())
	}
}

// news says when to say again what has been said.
type news struct {
	at   time.Time
	wait time.Duration
}

func (n *news) due() bool {
	now := time.Now()
	if now.Before(n.at) {
		return false
	}
	n.wait = min(max(2*n.wait, rotationNews), rotationNewsMax)
	n.at = now.Add(n.wait)
	return true
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errors.New("it took too long")
	}
}

// few names some of many.
func few(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
