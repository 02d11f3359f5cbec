// Package files holds what package certs and the packages below it do with files:
// creating one exactly once, and noticing that one has changed.
//
// Paths and contents come in; it never looks at what the contents are.
package files

import (
	"fmt"
	"os"
	"path/filepath"
)

// CreateExclusive writes a new file. Of several calls, in this process or others,
// one succeeds and the rest get an error that is fs.ErrExist; nobody ever sees a
// part of the content. The folder must exist, on a file system with hard links.
func CreateExclusive(path string, content []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	for _, step := range []func() error{func() error { return tmp.Chmod(mode) }, tmp.Sync} {
		if err == nil {
			err = step()
		}
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	// A link fails if the name is taken; a rename would not.
	if err == nil {
		err = os.Link(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir makes the new name survive a crash of the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing to %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing to %s: %w", dir, err)
	}
	return nil
}
