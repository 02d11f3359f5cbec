package localissuer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Owner is who the files of a volume belong to: the user that Envoy runs as.
type Owner struct{ UID, GID int }

const (
	dataLink    = "..data"
	dataLinkNew = "..data_tmp"
)

// volume is one folder that is updated as the kubelet updates a projected volume:
// the files of one generation are in a folder of their own, "..data" is a symbolic
// link to it, and each visible name is a link to "..data/<name>". One rename of the
// link moves all files on, and is what Envoy's watched_directory waits for.
//
// All names are resolved below root: whoever owns the folder cannot make us write
// elsewhere with a link of theirs.
type volume struct {
	root  *os.Root
	owner *Owner // nil: as we are
}

// write makes the files the content of the volume. The generation before the new
// one stays, for a reader that has just resolved the link; older ones go.
func (v volume) write(files map[string][]byte, now time.Time) error {
	for name := range files {
		if name == "" || strings.HasPrefix(name, "..") || strings.ContainsRune(name, '/') {
			return fmt.Errorf("file name %q: must be a plain name that does not begin with two dots", name)
		}
	}
	generation, err := v.newGeneration(files, now)
	if err != nil {
		return err
	}
	before, err := v.root.Readlink(dataLink)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := v.link(generation, dataLinkNew); err != nil {
		return err
	}
	if err := v.root.Rename(dataLinkNew, dataLink); err != nil {
		return err
	}
	for name := range files {
		target := dataLink + "/" + name
		if have, err := v.root.Readlink(name); err == nil && have == target {
			continue
		}
		if err := v.link(target, name); err != nil {
			return err
		}
	}
	return v.clean(files, generation, before)
}

// newGeneration writes the files into a new folder and returns its name.
func (v volume) newGeneration(files map[string][]byte, now time.Time) (string, error) {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	dir := now.UTC().Format("..2006_01_02_15_04_05.") + hex.EncodeToString(random[:])
	if err := v.root.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for name, content := range files {
		if err := v.create(dir+"/"+name, content); err != nil {
			return "", err
		}
	}
	return dir, v.chown(dir)
}

func (v volume) create(name string, content []byte) error {
	f, err := v.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && v.owner != nil {
		err = f.Chown(v.owner.UID, v.owner.GID)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (v volume) link(target, name string) error {
	if err := v.root.RemoveAll(name); err != nil {
		return err
	}
	return v.root.Symlink(target, name)
}

func (v volume) chown(name string) error {
	if v.owner == nil {
		return nil
	}
	return v.root.Lchown(name, v.owner.UID, v.owner.GID)
}

// clean removes what is neither a file nor one of the two generations to keep.
func (v volume) clean(files map[string][]byte, keep ...string) error {
	entries, err := fs.ReadDir(v.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if _, ok := files[name]; ok || name == dataLink || slices.Contains(keep, name) {
			continue
		}
		if err := v.root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}
