//go:build linux

package demo

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead/fairlead/internal/demo/report"
)

// laterCalls follow the first two; their median is what a call costs.
const laterCalls = 20

// firstCallLimit is far above what the first call may take on a busy machine.
const firstCallLimit = time.Second

// showFirstCalls starts a pod of a workload that never ran before. Its sidecar knows
// no destination; it asks for each when the app calls it, and the call waits. Then a
// second replica: what the first one used is there before it is called.
func showFirstCalls(ctx context.Context, w *world) ([]report.Row, error) {
	var rows []report.Row
	for i, title := range []string{"first replica", "second replica"} {
		w.Progress("starting the %s", title)
		p, err := w.newcomer(ctx, i+1)
		if err != nil {
			return nil, err
		}
		store := w.pods["store-0"]
		kinds := []struct {
			what string
			call func(context.Context) answer
		}{
			{"HTTP, a Service with rules", httpCaller(p, "http://catalog."+namespace+"/items")},
			{"TCP, the server speaks first", p.book},
			{"HTTP, a pod's own address", httpCaller(p, "http://"+net.JoinHostPort(store.Address().String(), strconv.Itoa(int(store.port())))+"/whoami")},
		}
		for _, k := range kinds {
			var answers []answer
			for range 2 + laterCalls {
				answers = append(answers, k.call(ctx))
			}
			row, text := firstCallRow(k.what, title, answers)
			rows = append(rows, row)
			if i == 0 {
				w.Fact(k.what, text)
			} else {
				w.Fact("  second replica", text)
			}
		}
	}
	return rows, nil
}

// firstCallRow tells the extra time of the first two calls from the median of the
// others.
func firstCallRow(what, replica string, answers []answer) (report.Row, string) {
	row := noFailures(what+", "+replica, answers)
	first, second := answers[0].took(), answers[1].took()
	usual := time.Duration(tally("", answers[2:]).P50)
	row.Note = fmt.Sprintf("first %s, second %s", extra(first-usual), extra(second-usual))
	if row.Problem == "" && first > firstCallLimit {
		row.Problem = fmt.Sprintf("the first call took %s", millis(first))
	}
	return row, fmt.Sprintf("first call %8s extra, second %8s extra, then %s", extra(first-usual), extra(second-usual), millis(usual))
}

// extra writes a difference; a call that was faster than the median cost nothing.
func extra(d time.Duration) string { return "+" + millis(max(d, 0)) }

// newcomer starts a replica of a workload that is not among the shop's.
func (w *world) newcomer(ctx context.Context, number int) (*pod, error) {
	r := replica{
		namespace: namespace, name: "newcomer-" + strconv.Itoa(number), account: "web",
		labels: map[string]string{"app": "newcomer", "pod-template-hash": "1"},
		owner:  metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "newcomer-1", Controller: new(true)},
	}
	r.labels = maps.Clone(r.labels)
	if err := w.addPods(ctx, r); err != nil {
		return nil, err
	}
	return w.pods[r.name], nil
}

func httpCaller(p *pod, url string) func(context.Context) answer {
	client := p.HTTPClient()
	return func(ctx context.Context) answer { return call(ctx, client, url) }
}

// book opens a connection to the ledger, which greets first, and enters a line.
func (p *pod) book(ctx context.Context) answer {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	a := answer{start: time.Now()}
	a.err = func() error {
		conn, err := p.DialContext(ctx, "tcp", "ledger."+namespace+":3306")
		if err != nil {
			return err
		}
		defer conn.Close()
		deadline, _ := ctx.Deadline()
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
		in := bufio.NewReader(conn)
		if _, err := in.ReadString('\n'); err != nil {
			return fmt.Errorf("no greeting of the ledger: %w", err)
		}
		if _, err := fmt.Fprintln(conn, "one item sold"); err != nil {
			return err
		}
		_, err = in.ReadString('\n')
		return err
	}()
	a.end = time.Now()
	return a
}
