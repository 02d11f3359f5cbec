//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// outage is how long the control plane stays away.
const outage = 2 * time.Second

// showOutage kills the control plane, brings it back, and looks at what the sidecars
// are sent when they come back to it. Then it edits the route once more, to see that
// the new process is obeyed.
func showOutage(ctx context.Context, w *world) ([]report.Row, error) {
	l := w.startOrders(ctx)
	if err := w.watchLoad(ctx, l, 500*time.Millisecond, "control plane up"); err != nil {
		return nil, err
	}
	before, err := statsOver(ctx, w.sidecars(), statNewClusters)
	if err != nil {
		return nil, err
	}
	killed := time.Now()
	if err := w.killFor(ctx, l, outage); err != nil {
		return nil, err
	}
	restarted := time.Now()
	w.Progress("control plane back, waiting for %d sidecars", len(w.pods))
	if err := until(ctx, startLimit, "sidecars in sync", w.inSync); err != nil {
		return nil, err
	}
	synced := time.Since(restarted)
	// What is sent late is sent all the same.
	if err := w.watchLoad(ctx, l, 500*time.Millisecond, "control plane back"); err != nil {
		return nil, err
	}
	resent, err := w.pushedResources(ctx)
	if err != nil {
		return nil, err
	}
	after, err := statsOver(ctx, w.sidecars(), statNewClusters)
	if err != nil {
		return nil, err
	}
	obeyed, err := w.seeEdit(ctx, l)
	if err != nil {
		return nil, err
	}
	answers := l.stop()

	during := noFailures("control plane gone", startedWithin(answers, killed, restarted))
	all := noFailures("before, during and after", answers)
	all.Note = fmt.Sprintf("in sync after %s, %d resent", human(synced), resent)
	// An app that called something for the first time meanwhile has had its answer.
	if first := total(grown(before, after)); all.Problem == "" && resent > 0 && first == 0 {
		all.Problem = fmt.Sprintf("%d resources were sent to sidecars that had them", resent)
	} else if first > 0 {
		all.Note += fmt.Sprintf(", %d first calls among them", first)
	}
	w.Fact("kill -9, gone for "+human(restarted.Sub(killed)), fmt.Sprintf("%d requests meanwhile, %d failures", during.Requests, during.Failures))
	w.Fact("restarted", fmt.Sprintf("all %d sidecars back and in sync after %s", len(w.pods), human(synced)))
	w.Fact("resent to them", fmt.Sprintf("%d resources", resent))
	w.Fact("edit of the route", "took effect after "+human(obeyed))
	return []report.Row{during, all}, nil
}

// startOrders starts a load of calls and orders, which go over every hop.
func (w *world) startOrders(ctx context.Context) *load {
	catalog := "http://catalog." + namespace
	return startLoad(ctx, w.pods["web-1"].HTTPClient, loadRate/2, catalog+"/items", catalog+"/order")
}

// watchLoad lets time pass and shows how the load does.
func (w *world) watchLoad(ctx context.Context, l *load, d time.Duration, what string) error {
	return pause(ctx, d, func(float64) { w.showLoad(l, what) })
}

func (w *world) showLoad(l *load, what string) {
	answers := l.sofar()
	w.Progress("%s   %d requests, %d failures", what, len(answers), tally("", answers).Failures)
}

// killFor kills the control plane and starts it again after that time.
func (w *world) killFor(ctx context.Context, l *load, d time.Duration) error {
	if err := w.control.Kill(); err != nil {
		return err
	}
	if err := w.watchLoad(ctx, l, d, "control plane gone"); err != nil {
		return err
	}
	connected, err := statsOver(ctx, w.sidecars(), statConnected)
	if err != nil {
		return err
	}
	if n := total(connected); n > 0 {
		return fmt.Errorf("%d sidecars are connected to a control plane that was killed", n)
	}
	return w.control.Restart()
}

// seeEdit gives weight to v1 again, which had none, and returns the time until it
// answered.
func (w *world) seeEdit(ctx context.Context, l *load) (took time.Duration, err error) {
	edited := time.Now()
	if _, err := editWeights(w.manifests(), weights{v1: 50, v2: 50}); err != nil {
		return 0, err
	}
	return took, until(ctx, startLimit, "an answer of v1 after the edit", func(context.Context) error {
		for _, a := range startedWithin(l.sofar(), edited, time.Now()) {
			if a.version == "v1" {
				took = a.end.Sub(edited)
				return nil
			}
		}
		return errors.New("v2 alone answers")
	})
}

// inSync is nil if the control plane says that each sidecar has ACKed what it is to
// have, and each says that it is connected.
func (w *world) inSync(ctx context.Context) error {
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
	connected, err := statsOver(ctx, w.sidecars(), statConnected)
	if err != nil {
		return err
	}
	if n := int(total(connected)); n != len(w.pods) {
		return fmt.Errorf("%d of %d sidecars are connected", n, len(w.pods))
	}
	return nil
}

// pushedResources is how many resources the present process of the control plane has
// sent.
func (w *world) pushedResources(ctx context.Context) (int, error) {
	body, err := get(ctx, w.debugClient(), "http://localhost/metrics")
	if err != nil {
		return 0, err
	}
	const name = "fairlead_xds_pushed_resources_total"
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("the control plane has no metric %s", name)
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
