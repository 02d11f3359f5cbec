package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// registry holds one locked file per living lab.
	registry = "/run/fairlead-lab"
	// namedNetns is where ip-netns(8) keeps the named namespaces.
	namedNetns = "/run/netns"
	// dirPrefix starts the names of folders that New made.
	dirPrefix = "fairlead-lab-"
)

// registration is what stands in a lab's file.
type registration struct {
	ID string `json:"id"`
	// Dir is the folder to remove; empty if it was not New that made it.
	Dir string `json:"dir,omitempty"`
}

// registerLab makes the lab known to CleanupStale. The lock on the file goes with
// this process, however it ends.
func registerLab(id string, ownDir bool, dir string) (*os.File, error) {
	if err := os.MkdirAll(registry, 0o755); err != nil {
		return nil, err
	}
	r := registration{ID: id}
	if ownDir {
		r.Dir = dir
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	// Under another name first, so that CleanupStale never sees it unlocked.
	temporary, err := os.CreateTemp(registry, "new-*")
	if err != nil {
		return nil, err
	}
	final := filepath.Join(registry, id+".json")
	if err = unix.Flock(int(temporary.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		if _, err = temporary.Write(text); err == nil {
			err = os.Rename(temporary.Name(), final)
		}
	}
	if err != nil {
		return nil, errors.Join(err, temporary.Close(), os.Remove(temporary.Name()))
	}
	return temporary, nil
}

// unregisterLab forgets what registerLab returned.
func unregisterLab(id string, f *os.File) error {
	return errors.Join(os.Remove(filepath.Join(registry, id+".json")), f.Close())
}

// CleanupStale deletes what labs left behind whose process is gone. It does not
// touch living ones, and may run at any time.
func CleanupStale() error {
	files, err := filepath.Glob(filepath.Join(registry, "*.json"))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, cleanupIfStale(f))
	}
	return errors.Join(errs...)
}

func cleanupIfStale(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // its lab was just closed
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil // alive
	} else if err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	var r registration
	if err := json.NewDecoder(f).Decode(&r); err != nil || r.ID == "" {
		return fmt.Errorf("%s: not the file of a lab (%v); remove it", name, err)
	}
	var errs []error
	namespaces, err := filepath.Glob(filepath.Join(namedNetns, netnsPrefix(r.ID)+"*"))
	errs = append(errs, err)
	for _, ns := range namespaces {
		errs = append(errs, deleteNamed(filepath.Base(ns)))
	}
	if strings.HasPrefix(filepath.Base(r.Dir), dirPrefix) {
		errs = append(errs, os.RemoveAll(r.Dir))
	}
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) { // else its lab was just closed
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// netnsPrefix starts the names of a lab's namespaces.
func netnsPrefix(id string) string { return "fl-" + id + "-" }
