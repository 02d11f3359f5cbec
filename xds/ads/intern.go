package ads

import (
	"runtime"
	"sync"
	"weak"

	"google.golang.org/grpc/mem"
)

type weakBlob = weak.Pointer[blob]

// blobs shares equal bytes between keys. An entry of the table lives as long as
// somebody uses its blob.
type blobs struct {
	mu sync.Mutex
	m  map[blobKey]weakBlob
}

// blobKey is what makes two blobs equal: the name is part of the bytes.
type blobKey struct {
	typ  Type
	name string
	id   string
}

// intern returns the blob of these bytes, the same one as long as anybody holds it.
func (b *blobs) intern(t Type, name, id string, frame []byte) *blob {
	k := blobKey{t, name, id}
	b.mu.Lock()
	defer b.mu.Unlock()
	if have := b.m[k].Value(); have != nil {
		return have
	}
	if b.m == nil {
		b.m = make(map[blobKey]weakBlob)
	}
	fresh := &blob{id: id, buf: mem.SliceBuffer(frame)}
	p := weak.Make(fresh)
	b.m[k] = p
	runtime.AddCleanup(fresh, func(k blobKey) { b.forget(k, p) }, k)
	return fresh
}

// forget drops the entry of a blob that is gone, unless it was made again since.
func (b *blobs) forget(k blobKey, p weakBlob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m[k] == p {
		delete(b.m, k)
	}
}

// newPrivateBlob returns a blob that is shared with nobody.
func newPrivateBlob(id string, frame []byte) *blob {
	return &blob{id: id, buf: mem.SliceBuffer(frame)}
}
