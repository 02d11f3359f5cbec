package manifests

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// isManifest reports that a file is read for its name. Hidden files are not: they
// are editors' swap files, and the inside of a mounted ConfigMap, whose files stand
// beside them as symbolic links.
func isManifest(path string) bool {
	switch name := filepath.Base(path); strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return !strings.HasPrefix(name, ".")
	}
	return false
}

// scanned is what a walk through a folder found.
type scanned struct {
	files    map[string]fs.FileInfo // by path
	problems []Problem
	// unseen are folders that could not be listed: nobody knows what is in there.
	unseen []string
}

// hides reports that a file is in a folder that could not be listed.
func (s *scanned) hides(path string) bool {
	return slices.ContainsFunc(s.unseen, func(dir string) bool {
		return strings.HasPrefix(path, dir+string(filepath.Separator))
	})
}

// enter is called for each folder before it is listed, so that nothing that happens
// afterwards is missed; link says that it is not part of the tree, but holds a file
// that a link in the tree leads to. It may be nil.
type enter func(dir string, link bool)

// scanner walks through a folder and the folders in it. Symbolic links are
// followed; a folder that was seen already is not entered again.
type scanner struct {
	ctx   context.Context
	max   int
	enter enter
	out   scanned
	seen  []fs.FileInfo // the folders on the way from the root to here
}

// scan lists the manifests in root, which may also be a single file. The error is
// that of the root.
func scan(ctx context.Context, root string, max int, enter enter) (scanned, error) {
	s := scanner{ctx: ctx, max: max, enter: enter, out: scanned{files: map[string]fs.FileInfo{}}}
	info, err := os.Stat(root)
	if err != nil {
		return scanned{}, err
	}
	if !info.IsDir() {
		if enter != nil {
			enter(filepath.Dir(root), true)
			s.follow(root)
		}
		s.out.files[root] = info
		return s.out, nil
	}
	if err := s.folder(root, info); err != nil {
		return scanned{}, err
	}
	return s.out, nil
}

func (s *scanner) folder(dir string, info fs.FileInfo) error {
	for _, above := range s.seen {
		if os.SameFile(above, info) {
			return nil // a link that leads back up
		}
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.enter != nil {
		s.enter(dir, false)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	s.seen = append(s.seen, info)
	defer func() { s.seen = s.seen[:len(s.seen)-1] }()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := s.entry(filepath.Join(dir, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) entry(path string, e fs.DirEntry) error {
	if e.Type().IsRegular() && !isManifest(path) {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		// It went away meanwhile, or a link leads nowhere: that is like no file.
		if isManifest(path) && !os.IsNotExist(err) {
			s.out.problems = append(s.out.problems, unreadable(path, err))
		}
	case info.IsDir():
		if err := s.folder(path, info); err != nil {
			if s.ctx.Err() != nil {
				return err
			}
			s.out.problems = append(s.out.problems, unreadable(path, err))
			s.out.unseen = append(s.out.unseen, path)
		}
	case info.Mode().IsRegular() && isManifest(path):
		if len(s.out.files) >= s.max {
			return fmt.Errorf("%s: the folder holds more than %d manifests; choose a smaller one", path, s.max)
		}
		s.out.files[path] = info
		if e.Type()&fs.ModeSymlink != 0 {
			s.follow(path)
		}
	}
	return nil
}

// follow enters the folder that the target of a linked file stands in.
func (s *scanner) follow(path string) {
	if s.enter == nil {
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		s.enter(filepath.Dir(real), true)
	}
}
