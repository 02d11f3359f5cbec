//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// outage is how long the control plane stays away.
const outage = 2 * time.Second

// showOutage kills the control plane, brings it back, and looks at what the sidecars
// are sent when they come back to it. Then it edits the route once more, to see that
// the new process is obeyed.
func showOutage(ctx context.Context, w *world) ([]report.Row, error) {
	l := startLoad(ctx, w.pods["web-1"].HTTPClient, loadRate/2,
		"http://catalog."+namespace+"/items", "http://catalog."+namespace+"/order")
	going := func(what string) func(float64) {
		return func(float64) {
			answers := l.sofar()
			w.Progress("%s   %d requests, %d failures", what, len(answers), tally("", answers).Failures)
		}
	}
	if err := pause(ctx, 500*time.Millisecond, going("control plane up")); err != nil {
		return nil, err
	}
	before, err := updatesOf(ctx, w.sidecars())
	if err != nil {
		return nil, err
	}
	killed := time.Now()
	if err := w.control.Kill(); err != nil {
		return nil, err
	}
	if err := pause(ctx, outage, going("control plane gone")); err != nil {
		return nil, err
	}
	if connected, err := statsOver(ctx, w.sidecars(), statConnected); err != nil {
		return nil, err
	} else if n := total(connected); n > 0 {
		return nil, fmt.Errorf("%d sidecars are connected to a control plane that was killed", n)
	}
	if err := w.control.Restart(); err != nil {
		return nil, err
	}
	restarted := time.Now()
	w.Progress("control plane back, waiting for %d sidecars", len(w.pods))
	if err := until(ctx, startLimit, "sidecars in sync", w.inSync); err != nil {
		return nil, err
	}
	synced := time.Since(restarted)
	// What is sent late is sent all the same.
	if err := pause(ctx, 500*time.Millisecond, going("control plane back")); err != nil {
		return nil, err
	}
	after, err := updatesOf(ctx, w.sidecars())
	if err != nil {
		return nil, err
	}
	updates := resent(before, after)
	edited := time.Now()
	if _, err := editWeights(w.manifests(), weights{v1: 50, v2: 50}); err != nil {
		return nil, err
	}
	var obeyed time.Duration
	err = until(ctx, startLimit, "the edit to take effect", func(context.Context) error {
		for _, a := range startedWithin(l.sofar(), edited, time.Now()) {
			if a.version == "v1" {
				obeyed = a.end.Sub(edited)
				return nil
			}
		}
		return fmt.Errorf("no answer of v1 yet")
	})
	if err != nil {
		return nil, err
	}
	answers := l.stop()

	during := noFailures("control plane gone", startedWithin(answers, killed, restarted))
	all := noFailures("killed, restarted, obeyed again", answers)
	all.Note = fmt.Sprintf("%d sidecars in sync after %s, %d updates resent", len(w.pods), millis(synced), total(updates))
	if all.Problem == "" && len(updates) > 0 {
		all.Problem = fmt.Sprintf("%d updates were sent to sidecars that had them: %v", total(updates), updates)
	}
	w.Fact("kill -9", fmt.Sprintf("for %s; %d requests meanwhile, %d failures", restarted.Sub(killed).Round(10*time.Millisecond), during.Requests, during.Failures))
	w.Fact("back in sync", fmt.Sprintf("all %d sidecars %s after the restart", len(w.pods), millis(synced)))
	w.Fact("resent on reconnect", fmt.Sprintf("%d updates, counted by the sidecars", total(updates)))
	w.Fact("obeyed again", fmt.Sprintf("an edit of the route took effect after %s", millis(obeyed)))
	return []report.Row{during, all}, nil
}

// inSync is nil if every sidecar is connected, and the control plane says that each
// has ACKed what it is to have.
func (w *world) inSync(ctx context.Context) error {
	connected, err := statsOver(ctx, w.sidecars(), statConnected)
	if err != nil {
		return err
	}
	if n := int(total(connected)); n != len(w.pods) {
		return fmt.Errorf("%d of %d sidecars are connected", n, len(w.pods))
	}
	body, err := get(ctx, w.debugClient(), "http://localhost/v1/status")
	if err != nil {
		return err
	}
	var status struct{ Proxies, Synced int }
	if err := json.Unmarshal(body, &status); err != nil {
		return err
	}
	if status.Synced != len(w.pods) {
		return fmt.Errorf("the control plane counts %d sidecars, %d of them in sync, want %d", status.Proxies, status.Synced, len(w.pods))
	}
	return nil
}

// debugClient calls the control plane's debug listener.
func (w *world) debugClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.debugSocket())
		},
	}}
}
