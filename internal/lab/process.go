package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// ProcessSpec says what program to start.
type ProcessSpec struct {
	// Name is the name of its log, in the lab's folder; the program's unless set.
	Name string
	// Args are the program, a path or a name to look up, and its arguments.
	Args []string
	// Env is the environment; that of this process unless set.
	Env []string
	// UID and GID are the user and group to run as; root unless set.
	UID, GID uint32
}

// Process is a program in a namespace. It dies with the lab and with this process.
// Its methods may be called concurrently.
type Process struct {
	spec    ProcessSpec
	netns   *Netns
	program string // absolute
	log     string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the program of cmd has ended
	err  error         // how it ended; set before done is closed
}

// Start starts a program in the namespace. Output and errors go to a log file.
// Names that SetHost knows resolve there, no others do.
func (n *Netns) Start(s ProcessSpec) (*Process, error) {
	if len(s.Args) == 0 {
		return nil, errors.New("lab: a process without Args")
	}
	program, err := exec.LookPath(s.Args[0])
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return nil, fmt.Errorf("lab: start %s: %w", s.Args[0], err)
	}
	if s.Name == "" {
		s.Name = filepath.Base(program)
	}
	short := strings.TrimPrefix(n.name, netnsPrefix(n.lab.id))
	p := &Process{
		spec: s, netns: n, program: program,
		log: filepath.Join(n.lab.dir, short+"."+strings.ReplaceAll(s.Name, "/", "_")+".log"),
	}
	return p, p.start()
}

// start starts the program; p.mu is not held, or nobody else knows p.
func (p *Process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// The user may not be able to pass through the folders of the program (one in
	// root's home, say): so root opens it, and what is executed is the descriptor.
	binary, err := os.Open(p.program)
	if err != nil {
		return err
	}
	defer binary.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/fd/3", Args: p.spec.Args, Env: p.spec.Env, ExtraFiles: []*os.File{binary},
		Stdout: log, Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{
			Pdeathsig: syscall.SIGKILL,
			Setpgid:   true, // an interrupt from the terminal is this process's to handle
		},
	}
	if p.spec.UID != 0 || p.spec.GID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.spec.UID, Gid: p.spec.GID}
	}
	l := p.netns.lab
	l.mu.Lock() // Close must not miss it
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("lab: the lab is closed")
	}
	if err := l.spawner.start(p.netns, l.hosts.binds(), cmd); err != nil {
		return fmt.Errorf("lab: start %s in %s: %w", p.spec.Args[0], p.netns.name, err)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	l.processes[p] = struct{}{}
	go p.reap(cmd, done)
	l.log.Info("process started", "process", p.spec.Name, "netns", p.netns.name, "pid", cmd.Process.Pid)
	return nil
}

func (p *Process) reap(cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(done)
	p.netns.lab.log.Info("process ended", "process", p.spec.Name, "netns", p.netns.name, "pid", cmd.Process.Pid, "how", err)
}

func (l *Lab) processesOf(n *Netns) []*Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*Process
	for p := range l.processes {
		if p.netns == n {
			list = append(list, p)
		}
	}
	return list
}

// PID is the process id of the present program.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Done is closed when the present program has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Wait waits for the program's end and returns how it ended: nil for exit code 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	}
}

// Signal sends a signal to the program; os.ErrProcessDone if it has ended.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Signal(s)
}

// Stop asks the program to end (SIGTERM) and waits; when ctx ends first it is killed
// and ctx's error returned. How the program ended is no error.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: stop %s: %w", p.spec.Name, err)
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("lab: %s did not stop: %w", p.spec.Name, ctx.Err()), p.Kill())
	}
}

// Kill ends the program at once (SIGKILL) and waits for its end. It is no error
// if it has ended already.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: kill %s: %w", p.spec.Name, err)
	}
	<-p.Done()
	return nil
}

// Restart starts the program again with the same arguments; the log goes on. The
// former one must have ended.
func (p *Process) Restart() error {
	select {
	case <-p.Done():
		return p.start()
	default:
		return fmt.Errorf("lab: %s still runs; stop or kill it before it is restarted", p.spec.Name)
	}
}

// LogPath is the file that output and errors go to.
func (p *Process) LogPath() string { return p.log }

// Logs returns what the program has written so far.
func (p *Process) Logs() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// logTail returns the last lines of the log, for an error.
func (p *Process) logTail() string {
	const most = 2000
	text := strings.TrimSpace(p.Logs())
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	return text
}
