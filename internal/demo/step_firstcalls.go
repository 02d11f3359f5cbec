//go:build linux

package demo

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
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
	var replicas [2][]answered
	for i := range replicas {
		w.Progress("starting replica %d of a new workload", i+1)
		p, err := w.newcomer(ctx, i+1)
		if err != nil {
			return nil, err
		}
		replicas[i] = w.callAll(ctx, p)
	}
	var rows []report.Row
	const columns = "%-9s  %-9s  %-9s  %s"
	w.Fact("", fmt.Sprintf(columns, "first", "second", "usual", "in a 2nd replica"))
	for k, first := range replicas[0] {
		second := replicas[1][k]
		row := noFailures(first.what, slices.Concat(first.answers, second.answers))
		usual := time.Duration(tally("", slices.Concat(first.answers[2:], second.answers[2:])).P50)
		over := func(a answer) string { return "+" + millis(max(a.took()-usual, 0)) }
		row.Note = fmt.Sprintf("first %s, replica %s", over(first.answers[0]), over(second.answers[0]))
		if took := first.answers[0].took(); row.Problem == "" && took > firstCallLimit {
			row.Problem = "the first call took " + human(took)
		}
		rows = append(rows, row)
		w.Fact(first.what, fmt.Sprintf(columns, over(first.answers[0]), over(first.answers[1]), millis(usual), over(second.answers[0])))
	}
	return rows, nil
}

// answered is how the calls of one kind went, in their order.
type answered struct {
	what    string
	answers []answer
}

// callAll calls from a pod in each of the ways in which a destination is found.
func (w *world) callAll(ctx context.Context, p *pod) []answered {
	store := w.pods["store-0"]
	storeURL := "http://" + net.JoinHostPort(store.Address().String(), strconv.Itoa(int(store.port()))) + "/whoami"
	all := []answered{
		{"HTTP, Service with rules", repeat(ctx, httpCaller(p, "http://catalog."+namespace+"/items"))},
		{"TCP, server speaks first", repeat(ctx, p.book)},
		{"HTTP, a pod's address", repeat(ctx, httpCaller(p, storeURL))},
	}
	return all
}

func repeat(ctx context.Context, call func(context.Context) answer) []answer {
	var answers []answer
	for range 2 + laterCalls {
		answers = append(answers, call(ctx))
	}
	return answers
}

// newcomer starts a replica of a workload that is not among the shop's.
func (w *world) newcomer(ctx context.Context, number int) (*pod, error) {
	r := replica{
		namespace: namespace, name: "newcomer-" + strconv.Itoa(number), account: "web",
		labels: map[string]string{"app": "newcomer", "pod-template-hash": "1"},
		owner:  metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "newcomer-1", Controller: new(true)},
	}
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
