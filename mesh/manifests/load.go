package manifests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/fairlead/fairlead/mesh"
)

// Result is what was read.
type Result struct {
	// Batch holds every object once, sorted.
	Batch mesh.Batch
	// Problems are sorted by file and line. The objects that they are about are not
	// in the Batch.
	Problems []Problem
	// Skipped names each kind that the mesh has no use for, once.
	Skipped []Skipped
}

// Store returns a store that holds the result.
func (r *Result) Store(settings mesh.Settings) *mesh.Store {
	s := mesh.NewStore(settings)
	s.Apply(r.Batch)
	return s
}

// Load reads a file, or a folder with all folders in it. The error is that nothing
// could be read at all; whatever is wrong with single files is in the Problems.
func Load(ctx context.Context, path string, o Options) (Result, error) {
	f := newFolder(path, o)
	if err := f.rescan(ctx, nil); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Result{}, fmt.Errorf("manifests: there is no file or folder %s; name one that holds Kubernetes objects", path)
		}
		return Result{}, fmt.Errorf("manifests: %w", err)
	}
	return f.result(), nil
}

// Read reads one stream, standard input for example; name is what it is called in
// problems ("-"). The error is that of r.
func Read(r io.Reader, name string, o Options) (Result, error) {
	f := newFolder(name, o)
	data, err := readAll(r, f.options.MaxFileSize)
	if errors.Is(err, errTooLarge) {
		return Result{Problems: []Problem{unreadable(name, err)}}, nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("manifests: %s cannot be read: %w", name, err)
	}
	f.replace(name, &state{now: f.parse(name, data)})
	return f.result(), nil
}
