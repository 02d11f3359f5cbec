// Package wire reads and writes delta xDS messages as a light client does: only
// the fields that it needs, by their numbers (envoy/service/discovery/v3/discovery.proto).
//
// A fake proxy that unmarshalled every resource would cost more CPU than the
// server that is measured on the same machine.
package wire

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// DeltaAggregatedResources is the delta ADS method.
const DeltaAggregatedResources = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

// Frame is one encoded message. As an argument of SendMsg and RecvMsg it passes
// through Codec as it is.
type Frame struct{ Data []byte }

// Codec passes Frames and nothing else. It calls itself "proto", so that the
// content type is what every server expects.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name implements encoding.CodecV2.
func (Codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2: the bytes are not copied, so they must not
// be modified any more.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*Frame)
	if !ok {
		return nil, fmt.Errorf("wire: %T is no *Frame", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.Data)}, nil
}

// Unmarshal implements encoding.CodecV2. The bytes are a copy.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return fmt.Errorf("wire: %T is no *Frame", v)
	}
	f.Data = data.Materialize()
	return nil
}

// Response is what a client reads of a DeltaDiscoveryResponse.
type Response struct {
	Resources []Resource
	TypeURL   string
	Nonce     string
	Removed   []string
}

// Resource is one of a Response. Body is the encoded google.protobuf.Any.
type Resource struct {
	Name    string
	Version string
	Body    []byte
}

var errMalformed = errors.New("malformed DeltaDiscoveryResponse")

// fields calls f for each length-delimited field of b and skips all others.
func fields(b []byte, f func(number protowire.Number, value []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return errMalformed
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return errMalformed
		}
		if err := f(number, value); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// ParseResponse reads a DeltaDiscoveryResponse. Bodies point into b.
func ParseResponse(b []byte) (Response, error) {
	var r Response
	err := fields(b, func(number protowire.Number, value []byte) error {
		switch number {
		case 2:
			res, err := parseResource(value)
			r.Resources = append(r.Resources, res)
			return err
		case 4:
			r.TypeURL = string(value)
		case 5:
			r.Nonce = string(value)
		case 6:
			r.Removed = append(r.Removed, string(value))
		}
		return nil
	})
	return r, err
}

func parseResource(b []byte) (Resource, error) {
	var r Resource
	err := fields(b, func(number protowire.Number, value []byte) error {
		switch number {
		case 1:
			r.Version = string(value)
		case 2:
			r.Body = value
		case 3:
			r.Name = string(value)
		}
		return nil
	})
	return r, err
}

// Request is what a client writes of a DeltaDiscoveryRequest. Node is an encoded
// envoy.config.core.v3.Node, only in the first request of a stream.
type Request struct {
	Node      []byte
	TypeURL   string
	Subscribe []string
	Versions  []Held // initial_resource_versions
	Nonce     string
}

// Held is a resource that the client has from an earlier stream.
type Held struct{ Name, Version string }

// Encode writes r.
func (r Request) Encode() *Frame {
	var b []byte
	if len(r.Node) > 0 {
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		b = protowire.AppendBytes(b, r.Node)
	}
	b = appendString(b, 2, r.TypeURL)
	for _, name := range r.Subscribe {
		b = appendString(b, 3, name)
	}
	for _, held := range r.Versions {
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		b = protowire.AppendBytes(b, appendString(appendString(nil, 1, held.Name), 2, held.Version))
	}
	if r.Nonce != "" {
		b = appendString(b, 6, r.Nonce)
	}
	return &Frame{Data: b}
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	return protowire.AppendString(b, s)
}
