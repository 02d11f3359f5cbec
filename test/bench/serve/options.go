package serve

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/test/bench/plane"
	"github.com/fairlead/fairlead/test/bench/wire"
)

// grpcOptions are Fairlead's own, or for the kinds that say so grpc-go's defaults
// with the same TLS; the codec is that of the kind.
func grpcOptions(k Kind, a *certs.Authority) []grpc.ServerOption {
	options := plane.Options(a, ServerName)
	if k == GCPDefaults || k == BareDefaults {
		options = []grpc.ServerOption{
			grpc.Creds(credentials.NewTLS(a.ServerTLS([]string{ServerName}))),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		}
	}
	if k == Bare || k == BareDefaults {
		return append(options, grpc.ForceServerCodecV2(wire.Codec{}))
	}
	return append(options, grpc.ForceServerCodecV2(encoding.GetCodecV2(proto.Name)))
}
