package ads

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of envoy.service.discovery.v3.DeltaDiscoveryResponse and
// Resource, and of google.protobuf.Any.
const (
	fieldResources = 2
	fieldTypeURL   = 4
	fieldNonce     = 5
	fieldRemoved   = 6

	fieldVersion  = 1
	fieldResource = 2
	fieldName     = 3

	fieldAnyType  = 1
	fieldAnyValue = 2
)

// versionBytes is the length of a content version: 128 bits of SHA-256 in hex.
const versionBytes = 32

// encodeResource encodes msg as one element of DeltaDiscoveryResponse.resources,
// tag included, so that a response is a concatenation of such frames. Its version
// is version, or if that is "" a hash of the content. There is one allocation.
func encodeResource(t Type, name, version string, msg proto.Message) (frame []byte, id string, err error) {
	idLen := len(version)
	if version == "" {
		idLen = versionBytes
	}
	opts := proto.MarshalOptions{Deterministic: true}
	size := opts.Size(msg)
	url := typeURLs[t]
	anyLen := sizeBytes(fieldAnyType, len(url)) + sizeBytes(fieldAnyValue, size)
	resLen := sizeBytes(fieldVersion, idLen) + sizeBytes(fieldName, len(name)) + sizeBytes(fieldResource, anyLen)

	b := make([]byte, 0, sizeBytes(fieldResources, resLen))
	b = appendHeader(b, fieldResources, resLen)
	b = appendHeader(b, fieldVersion, idLen)
	at := len(b)
	b = append(b, make([]byte, idLen)...)
	b = appendString(b, fieldName, name)
	b = appendHeader(b, fieldResource, anyLen)
	b = appendString(b, fieldAnyType, url)
	b = appendHeader(b, fieldAnyValue, size)
	value := len(b)
	opts.UseCachedSize = true
	if b, err = opts.MarshalAppend(b, msg); err != nil {
		return nil, "", fmt.Errorf("%s %s cannot be encoded: %w", t, name, err)
	}
	if len(b)-value != size {
		return nil, "", fmt.Errorf("%s %s was modified while it was encoded", t, name)
	}
	if version == "" {
		sum := sha256.Sum256(b[value:])
		version = hex.EncodeToString(sum[:versionBytes/2])
	}
	copy(b[at:], version)
	return b, version, nil
}

func sizeBytes(num protowire.Number, n int) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(n)
}

func appendHeader(b []byte, num protowire.Number, n int) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(n))
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// typeHeaders are the encoded type_url fields, shared by all responses.
var typeHeaders = func() (h [numTypes]mem.Buffer) {
	for t := range numTypes {
		h[t] = mem.SliceBuffer(appendString(nil, fieldTypeURL, typeURLs[t]))
	}
	return h
}()

// response is one DeltaDiscoveryResponse under way: what the codec sends, and
// after that the record that the client's answer is held against. It is
// immutable once it is composed.
type response struct {
	typ     Type
	removal bool // names only
	nonce   uint64
	sentAt  time.Time
	items   []item
	names   []string        // further ones, of a removal: nothing is kept of them
	size    int             // of the resources, bytes
	bufs    mem.BufferSlice // nil once it is sent

	oneItem [1]item
}

// item is one resource of a response: v was sent for h (v.absent: removed).
type item struct {
	h *held
	v *version
}

func newResponse(t Type) *response {
	r := &response{typ: t}
	r.items = r.oneItem[:0]
	r.bufs = append(make(mem.BufferSlice, 0, 3), typeHeaders[t])
	return r
}

// add puts the version v of h in.
func (r *response) add(h *held, v *version) {
	r.items = append(r.items, item{h, v})
	r.bufs = append(r.bufs, v.blob.buf)
	r.size += v.blob.buf.Len()
}

// remove puts the name of h in as removed.
func (r *response) remove(h *held) {
	r.removal = true
	r.items = append(r.items, item{h, absentVersion})
	r.size += len(h.e.key.Name)
}

// seal completes the response with its nonce.
func (r *response) seal(nonce uint64, now time.Time) {
	r.nonce, r.sentAt = nonce, now
	tail := make([]byte, 0, 24)
	if r.removal {
		for _, it := range r.items {
			tail = appendString(tail, fieldRemoved, it.h.e.key.Name)
		}
		for _, name := range r.names {
			tail = appendString(tail, fieldRemoved, name)
		}
	}
	var digits [20]byte
	n := strconv.AppendUint(digits[:0], nonce, 10)
	tail = appendHeader(tail, fieldNonce, len(n))
	tail = append(tail, n...)
	r.bufs = append(r.bufs, mem.SliceBuffer(tail))
}
