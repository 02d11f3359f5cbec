package ads

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/grpc/status"
)

var update = flag.Bool("update", false, "rewrite what transcripts expect to what happens")

// TestTranscripts runs testdata/*.txtar: what the clients and the source do, and
// what each client gets, line by line (testdata/README explains the commands). It
// runs under synctest: "nothing more comes" is certain, and time costs nothing.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out []byte
			synctest.Test(t, func(t *testing.T) { out = runScript(t, file, a) })
			if *update && !bytes.Equal(out, a.Comment) {
				a.Comment = out
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type script struct {
	*world
	t       *testing.T
	clients map[string]*client
	pods    map[string]string // by client
	logs    bytes.Buffer
	waits   map[string]chan error
}

func runScript(t *testing.T, file string, a *txtar.Archive) []byte {
	sc := &script{t: t, clients: make(map[string]*client), pods: make(map[string]string), waits: make(map[string]chan error)}
	cfg := Config{MaxAge: -1}
	for _, f := range a.Files {
		if f.Name == "config" {
			sc.config(&cfg, string(f.Data))
		}
	}
	cfg.Log = slog.New(slog.NewTextHandler(&lockedWriter{w: &sc.logs}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sc.world = newWorld(t, cfg)
	var out []string
	for i, line := range strings.Split(string(a.Comment), "\n") {
		got, err := sc.run(line)
		if err != nil && !*update {
			t.Errorf("%s:%d: %s\n%v", file, i+1, line, err)
			break
		}
		out = append(out, got)
	}
	for _, c := range sc.clients {
		c.cancel()
	}
	sc.close()
	synctest.Wait()
	if t.Failed() {
		t.Logf("server log:\n%s", sc.logs.String())
	}
	return []byte(strings.Join(out, "\n"))
}

func (sc *script) config(cfg *Config, text string) {
	for _, line := range strings.Fields(text) {
		name, value, _ := strings.Cut(line, "=")
		d, _ := time.ParseDuration(value)
		n, _ := strconv.Atoi(value)
		switch name {
		case "sticky_limit":
			cfg.StickyLimit = n
		case "max_held":
			cfg.MaxHeld = n
		case "max_age":
			cfg.MaxAge = d
		case "sync_concurrency":
			cfg.SyncConcurrency = n
		case "ack_deadline":
			cfg.AckDeadline = d
		case "scope_names":
			cfg.ScopeNames = n
		default:
			sc.t.Fatalf("unknown setting %q", name)
		}
	}
}

// run does one line. It returns the line as it should read.
func (sc *script) run(line string) (string, error) {
	text, _, _ := strings.Cut(line, "#")
	f := strings.Fields(text)
	if len(f) == 0 {
		return line, nil
	}
	var err error
	switch f[0] {
	case "recv", "silent", "stats", "status", "held", "rollout", "ended", "builds", "haves", "log", "logged":
		synctest.Wait()
		got, err := sc.observe(f)
		if err != nil {
			return line, err
		}
		if want := strings.Join(f, " "); got != want {
			return got, fmt.Errorf("got: %s", got)
		}
		return line, nil
	case "set", "unset", "wildcard", "renew", "fail", "failissue":
		err = sc.source(f)
	case "connect":
		c := sc.connect(sc.t, f[2])
		c.auto = len(f) > 3 && f[3] == "auto"
		sc.clients[f[1]] = c
		pod, _, _ := strings.Cut(f[2], "@")
		sc.pods[f[1]] = "shop/" + pod
		go c.read()
		synctest.Wait()
	case "sub", "unsub":
		err = sc.subscribe(f)
	case "ack", "nack":
		err = sc.answer(f)
	case "drop":
		sc.clients[f[1]].cancel()
		synctest.Wait()
	case "sleep":
		d, _ := time.ParseDuration(f[1])
		time.Sleep(d)
	case "class":
		sc.setClass(f[1], f[2])
	case "reissue":
		sc.srv.Reissue(func(*Client, Key) bool { return true })
	case "wait":
		err = sc.wait(f)
	case "close":
		sc.remove(f[1], len(f) == 2)
	case "drain":
		d, _ := time.ParseDuration(f[1])
		go sc.srv.Drain(sc.t.Context(), d)
	default:
		err = errors.New("unknown command")
	}
	return line, err
}

// source changes what there is: set CDS cart v2 refs=VHDS:a,CDS:b after=CDS:b
func (sc *script) source(f []string) error {
	switch f[0] {
	case "renew":
		sc.src.renew, _ = time.ParseDuration(f[1])
		return nil
	case "failissue":
		sc.src.mu.Lock()
		defer sc.src.mu.Unlock()
		sc.src.issueErr = nil
		if len(f) > 1 {
			sc.src.issueErr = errors.New(strings.Join(f[1:], " "))
		}
		return nil
	case "fail":
		sc.src.mu.Lock()
		defer sc.src.mu.Unlock()
		delete(sc.src.buildErr, f[1])
		if len(f) > 2 {
			sc.src.buildErr[f[1]] = errors.New(strings.Join(f[2:], " "))
		}
		return nil
	}
	t, ok := ParseType(f[1])
	if !ok {
		return errors.New("unknown type")
	}
	if f[0] == "wildcard" {
		sc.src.mu.Lock()
		defer sc.src.mu.Unlock()
		sc.src.wildcards[t] = f[2:]
		return nil
	}
	r := Ref{t, f[2]}
	if f[0] == "unset" {
		sc.src.unset(r)
	} else {
		res := fakeResource{text: f[3]}
		for _, opt := range f[4:] {
			name, list, _ := strings.Cut(opt, "=")
			var refs []Ref
			for _, x := range strings.Split(list, ",") {
				ty, n, _ := strings.Cut(x, ":")
				rt, ok := ParseType(ty)
				if !ok {
					return errors.New("unknown type " + ty)
				}
				refs = append(refs, Ref{rt, n})
			}
			if name == "refs" {
				res.refs = refs
			} else {
				res.after = refs
			}
		}
		sc.src.set(r, res)
	}
	sc.changed(r)
	return nil
}

// subscribe: sub a CDS * cart have:cart=v1
func (sc *script) subscribe(f []string) error {
	t, ok := ParseType(f[2])
	if !ok {
		return errors.New("unknown type")
	}
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: t.URL()}
	for _, name := range f[3:] {
		if have, ok := strings.CutPrefix(name, "have:"); ok {
			n, text, _ := strings.Cut(have, "=")
			if req.InitialResourceVersions == nil {
				req.InitialResourceVersions = make(map[string]string)
			}
			version := versionOf(t, n, text)
			if strings.HasPrefix(text, "leaf-") {
				version = text
			}
			req.InitialResourceVersions[n] = version
		} else if f[0] == "sub" {
			req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
		} else {
			req.ResourceNamesUnsubscribe = append(req.ResourceNamesUnsubscribe, name)
		}
	}
	err := sc.clients[f[1]].send(req)
	synctest.Wait()
	return err
}

// answer: ack a [CDS], nack a reason...
func (sc *script) answer(f []string) error {
	c := sc.clients[f[1]]
	at := 0
	if len(f) > 2 && f[0] == "ack" {
		t, ok := ParseType(f[2])
		at = slices.IndexFunc(c.unanswered, func(g []*discovery.DeltaDiscoveryResponse) bool { return ok && g[0].GetTypeUrl() == t.URL() })
	}
	if at < 0 || at >= len(c.unanswered) {
		return errors.New("there is nothing to answer")
	}
	group := c.unanswered[at]
	c.unanswered = slices.Delete(c.unanswered, at, at+1)
	reason := ""
	if f[0] == "nack" {
		reason = strings.Join(f[2:], " ")
	}
	for _, r := range group {
		if err := c.answer(r, reason); err != nil {
			return err
		}
	}
	synctest.Wait()
	return nil
}

// wait: wait NAME CDS cart 5s starts WaitAcked; wait NAME says how it is.
func (sc *script) wait(f []string) error {
	synctest.Wait()
	if len(f) > 3 {
		t, _ := ParseType(f[2])
		d, err := time.ParseDuration(f[4])
		if err != nil {
			return err
		}
		ch := make(chan error, 1)
		sc.waits[f[1]] = ch
		go func() {
			ctx, cancel := contextWithTimeout(d)
			defer cancel()
			ch <- sc.srv.WaitAcked(ctx, Key{Type: t, Name: f[3]})
		}()
		return nil
	}
	got := "open"
	select {
	case err := <-sc.waits[f[1]]:
		got = "done"
		if err != nil {
			got = "failed"
			sc.logs.WriteString(err.Error() + "\n")
		}
	default:
	}
	if got != f[2] {
		return fmt.Errorf("the wait is %s", got)
	}
	return nil
}

func (sc *script) observe(f []string) (string, error) {
	switch f[0] {
	case "recv":
		c := sc.clients[f[1]]
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.arrived) == 0 {
			return "silent " + f[1], nil
		}
		// What was built one after the other may come in several responses: a line
		// stands for as many of them as have its number of resources together.
		var group []*discovery.DeltaDiscoveryResponse
		items := 0
		for len(c.arrived) > 0 && (items < len(f)-3 || len(group) == 0) && (len(group) == 0 || c.arrived[0].GetTypeUrl() == group[0].GetTypeUrl()) {
			r := c.arrived[0]
			c.arrived = c.arrived[1:]
			items += len(r.GetResources()) + len(r.GetRemovedResources())
			group = append(group, r)
		}
		c.unanswered = append(c.unanswered, group)
		return "recv " + f[1] + " " + show(group...), nil
	case "silent":
		c := sc.clients[f[1]]
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone {
			return "ended " + f[1] + " " + status.Code(c.err).String(), nil
		}
		if len(c.arrived) > 0 {
			return "recv " + f[1] + " " + show(c.arrived[0]), nil
		}
		return strings.Join(f, " "), nil
	case "ended":
		c := sc.clients[f[1]]
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.gone {
			return "silent " + f[1], nil
		}
		got := "ended " + f[1] + " " + status.Code(c.err).String()
		if len(f) > 3 {
			got += " " + status.Convert(c.err).Message()
		}
		return got, nil
	case "builds", "haves":
		sc.src.mu.Lock()
		defer sc.src.mu.Unlock()
		list := &sc.src.builds
		if f[0] == "haves" {
			list = &sc.src.haves
		}
		got := f[0]
		sort.Strings(*list) // several at once come in any order
		for _, b := range *list {
			got += " " + strconv.Quote(b)
		}
		*list = nil
		return got, nil
	case "logged":
		n, _ := strconv.Atoi(f[1])
		text := strings.Join(f[2:], " ")
		if got := strings.Count(sc.logs.String(), text); got != n {
			return fmt.Sprintf("logged %d %s", got, text), nil
		}
		return strings.Join(f, " "), nil
	case "log":
		if want := strings.Join(f[1:], " "); !strings.Contains(sc.logs.String(), want) {
			return "", fmt.Errorf("the log does not say %q", want)
		}
		return strings.Join(f, " "), nil
	case "rollout":
		t, _ := ParseType(f[1])
		r := sc.srv.Rollout(Key{Type: t, Name: f[2]})
		got := fmt.Sprintf("rollout %s %s %d/%d", f[1], f[2], r.Acked, r.Holders)
		for _, p := range r.Pending {
			got += " " + p
		}
		if r.Quarantined {
			got += " quarantined"
		}
		return got, nil
	case "held":
		return sc.held(f)
	case "stats":
		return sc.stats(f)
	}
	return "", errors.New("unknown command")
}

// held: held a CDS cart -> the reasons, and whether it is acknowledged.
func (sc *script) held(f []string) (string, error) {
	t, _ := ParseType(f[2])
	got := strings.Join(f[:4], " ")
	for _, p := range sc.srv.Proxies() {
		if p.Pod != sc.pods[f[1]] {
			continue
		}
		d, err := sc.srv.Proxy(p.ID)
		if err != nil {
			return "", err
		}
		for _, r := range d.Resources {
			if r.Type != t.String() || r.Name != f[3] {
				continue
			}
			got += " " + strings.ReplaceAll(strings.Join(r.Why, ","), " ", "-")
			if r.Acked != "" && r.Acked == r.Version {
				got += " acked"
			}
			if r.Reason != "" {
				got += " rejected: " + r.Reason
			}
			return got, nil
		}
	}
	return got + " no", nil
}

func (sc *script) stats(f []string) (string, error) {
	st := sc.srv.Stats()
	got := "stats"
	for _, x := range f[1:] {
		name, _, _ := strings.Cut(x, "=")
		var v int64
		switch name {
		case "proxies":
			v = int64(st.Proxies)
		case "pushes":
			v = st.Pushes
		case "builds":
			v = st.Builds
		case "after_timeouts":
			v = st.AfterTimeouts
		case "quarantined":
			v = st.Quarantined
		case "withheld":
			v = st.Withheld
		case "stalled":
			v = st.StalledCut
		case "sticky_lost":
			v = st.StickyLost
		case "overflows":
			v = st.Overflows
		case "names_refused":
			v = st.NamesRefused
		case "refs_refused":
			v = st.RefsRefused
		case "replaced":
			v = st.Replaced
		case "issues":
			v = st.Issues
		case "held":
			v = int64(st.HeldEntries)
		case "cached":
			v = int64(st.CachedEntries)
		default:
			return "", errors.New("unknown counter " + name)
		}
		got += fmt.Sprintf(" %s=%d", name, v)
	}
	return got, nil
}
