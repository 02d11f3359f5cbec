package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// pollEvery is how often the sidecar is asked: the app's start waits for the answer.
const pollEvery = 20 * time.Millisecond

// waitReady waits until url answers 200, for timeout at most if that is not 0. The
// sidecar opens the listener only when it is ready, so to be refused is the normal
// answer before that. The error says what the last answer was.
func waitReady(ctx context.Context, url string, timeout time.Duration) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("--ready-url: %w", err)
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("waited for %s", timeout))
		defer cancel()
	}
	// An answer that hangs must not hide the next one.
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := errors.New("no answer")
	for {
		err := ask(client, req.WithContext(ctx))
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // else it says only that the time is over
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the sidecar is not ready (%w): %w; it is once the control plane has sent its configuration: see the log of the container fairlead-proxy, and whether the control plane runs", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

func ask(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", req.URL, resp.Status)
	}
	return nil
}
