package ads

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec writes the server's own responses as slices that are shared between
// streams, and reads requests without building a protobuf message. Everything
// else (health checks, other services on the same port) goes to grpc's own codec.
type codec struct {
	fallback encoding.CodecV2
}

func newCodec() encoding.CodecV2 {
	return codec{fallback: encoding.GetCodecV2(protocodec.Name)}
}

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.bufs, nil
	}
	return c.fallback.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.fallback.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	if err := r.decode(buf.ReadOnlyData()); err != nil {
		return fmt.Errorf("DeltaDiscoveryRequest: %w", err)
	}
	return nil
}

func (c codec) Name() string { return protocodec.Name }
