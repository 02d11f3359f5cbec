// Package child runs a part of a benchmark in a process of its own and calls it
// over its standard input and output, one JSON object per line.
//
// One call at a time: a benchmark is a sequence. What the child writes to standard
// error goes to the parent's.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

type response struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Process is a child that answers calls.
type Process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
}

// Start runs this binary again with args. name is for errors.
func Start(name string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &Process{name: name, cmd: cmd, in: in, out: json.NewDecoder(bufio.NewReader(out))}, nil
}

// PID is that of the child.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Call asks the child and waits for the answer. When ctx ends first the child is
// killed: it would be out of step from then on.
func (p *Process) Call(ctx context.Context, method string, params, result any) error {
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	defer stop()
	err := p.call(method, params, result)
	if cause := ctx.Err(); err != nil && cause != nil {
		return fmt.Errorf("%s: %s: %w", p.name, method, cause)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", p.name, method, err)
	}
	return nil
}

func (p *Process) call(method string, params, result any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(p.in).Encode(request{Method: method, Params: text}); err != nil {
		return err
	}
	var answer response
	if err := p.out.Decode(&answer); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// Close ends the child: by the end of its input, and by force if that takes long.
func (p *Process) Close() error {
	_ = p.in.Close()
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	return p.cmd.Wait()
}

// Method answers one call in the child.
type Method func(ctx context.Context, params json.RawMessage) (any, error)

// Handler makes a Method of a function from values to values.
func Handler[P, R any](f func(context.Context, P) (R, error)) Method {
	return func(ctx context.Context, params json.RawMessage) (any, error) {
		var p P
		if len(params) > 0 {
			if err := json.Unmarshal(params, &p); err != nil {
				return nil, err
			}
		}
		return f(ctx, p)
	}
}

// None is the parameter or the result of a method that has none.
type None struct{}

// Serve answers calls until in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer, methods map[string]Method) error {
	dec, enc := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var req request
		if err := dec.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := enc.Encode(answer(ctx, methods, req)); err != nil {
			return err
		}
	}
}

func answer(ctx context.Context, methods map[string]Method, req request) response {
	m, ok := methods[req.Method]
	if !ok {
		return response{Error: "there is no method " + req.Method}
	}
	result, err := m(ctx, req.Params)
	if err != nil {
		return response{Error: err.Error()}
	}
	text, err := json.Marshal(result)
	if err != nil {
		return response{Error: err.Error()}
	}
	return response{Result: text}
}
