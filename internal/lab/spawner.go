package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// spawner starts processes, all from one thread that lives as long as the lab: a
// child's parent-death signal comes when the thread ends that started it.
type spawner struct {
	requests chan func()
	once     sync.Once
	done     chan struct{}
}

func newSpawner() (*spawner, error) {
	s := &spawner{requests: make(chan func()), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // for good
		// A thread that shares its root and working folder may not change its mounts.
		started <- unix.Unshare(unix.CLONE_FS)
		for f := range s.requests {
			f()
		}
	}()
	if err := <-started; err != nil {
		s.close()
		return nil, fmt.Errorf("unshare the working folder: %w", err)
	}
	return s, nil
}

// close ends the thread, and with it every child that is left. No call of start
// may be under way.
func (s *spawner) close() {
	s.once.Do(func() { close(s.requests) })
	<-s.done
}

// start starts cmd inside the network namespace and a mount namespace of its own,
// in which the files of binds (from what, to where) lie over others.
func (s *spawner) start(n *Netns, binds map[string]string, cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.requests <- func() { result <- startInside(n, binds, cmd) }
	return <-result
}

func startInside(n *Netns, binds map[string]string, cmd *exec.Cmd) (err error) {
	mounts, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mounts)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	defer func() {
		err = errors.Join(err, unix.Setns(mounts, unix.CLONE_NEWNS), unix.Setns(n.lab.host, unix.CLONE_NEWNET))
	}()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	for from, to := range binds {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s over %s: %w", from, to, err)
		}
	}
	if err := n.enter(); err != nil {
		return err
	}
	return cmd.Start()
}
