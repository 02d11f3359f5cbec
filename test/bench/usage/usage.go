// Package usage reads what a process has used: CPU time, memory, allocations.
//
// It reads the calling process and /proc; it keeps nothing.
package usage

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process has used since it started, and what it holds now.
type Usage struct {
	CPU       time.Duration // user and system, getrusage(2)
	RSS       int64         // bytes, VmRSS
	Anonymous int64         // bytes, RssAnon
	Heap      int64         // bytes of live and not yet swept objects
	HeapInUse int64         // bytes of the pages that these lie in
	Stacks    int64         // bytes
	Allocated int64         // bytes, cumulative
	Mallocs   int64         // objects, cumulative
	GCs       int64
	Routines  int
}

// Now returns the clock that all processes of the machine share, in nanoseconds.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the clock always exists on Linux
	}
	return ts.Nano()
}

// Self returns the usage of the calling process.
func Self() (Usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return Usage{}, fmt.Errorf("getrusage: %w", err)
	}
	u, err := Memory(os.Getpid())
	if err != nil {
		return Usage{}, err
	}
	u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Heap, u.HeapInUse, u.Stacks = int64(m.HeapAlloc), int64(m.HeapInuse), int64(m.StackInuse)
	u.Allocated, u.Mallocs, u.GCs = int64(m.TotalAlloc), int64(m.Mallocs), int64(m.NumGC)
	u.Routines = runtime.NumGoroutine()
	return u, nil
}

// Settled gives free memory back to the kernel first. What lies in a sync.Pool
// outlives one collection, so there are three.
func Settled() (Usage, error) {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	return Self()
}

// Memory returns RSS and Anonymous of any process of this machine.
func Memory(pid int) (Usage, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	f, err := os.Open(path)
	if err != nil {
		return Usage{}, err
	}
	defer f.Close()
	var u Usage
	for in := bufio.NewScanner(f); in.Scan(); {
		field, rest, _ := strings.Cut(in.Text(), ":")
		var into *int64
		switch field {
		case "VmRSS":
			into = &u.RSS
		case "RssAnon":
			into = &u.Anonymous
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("%s: %s: %w", path, field, err)
		}
		*into = kib << 10
	}
	return u, nil
}
