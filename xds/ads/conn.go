package ads

import (
	"context"
	"math"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// ServerOptions are what a grpc.Server needs to carry a Server: the codec,
// access to the connections below the streams, and settings that keep an idle
// connection small. creds must be TLS but in tests.
func ServerOptions(creds credentials.TransportCredentials) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(connCreds{creds}),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
		// Envoy opens one ADS stream, and one access log stream per worker.
		grpc.MaxConcurrentStreams(256),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             10 * time.Second,
			PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			// Anyone can open a connection, but only one with a token keeps a stream.
			MaxConnectionIdle: time.Minute,
			Time:              30 * time.Second,
			Timeout:           20 * time.Second,
		}),
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.WriteBufferSize(32 << 10),
		grpc.ReadBufferSize(readBufferBytes),
		grpc.StaticStreamWindowSize(64 << 10),
		grpc.StaticConnWindowSize(128 << 10),
		grpc.MaxHeaderListSize(32 << 10),
	}
}

// readBufferBytes is held by each connection for as long as it lives. Requests
// are short, and TLS has a buffer of its own.
const readBufferBytes = 2 << 10

// connCreds hands the connection on, so that a stream whose handler is blocked in
// a read can be ended: grpc-go has no other way.
type connCreds struct {
	credentials.TransportCredentials
}

func (c connCreds) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	return conn, connInfo{AuthInfo: info, closer: connCloser{raw: raw, conn: conn}}, nil
}

func (c connCreds) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.TransportCredentials.ClientHandshake(ctx, authority, raw)
}

func (c connCreds) Clone() credentials.TransportCredentials {
	return connCreds{c.TransportCredentials.Clone()}
}

// connInfo is the AuthInfo of a connection and a handle on it.
type connInfo struct {
	credentials.AuthInfo
	closer closer
}

// GetCommonAuthInfo is what grpc asks for the security level.
func (i connInfo) GetCommonAuthInfo() credentials.CommonAuthInfo {
	if c, ok := i.AuthInfo.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	}); ok {
		return c.GetCommonAuthInfo()
	}
	return credentials.CommonAuthInfo{}
}

type connCloser struct {
	raw, conn net.Conn
}

// close says goodbye (TLS close_notify), which may take until the peer reads.
func (c connCloser) close() { go c.conn.Close() }

func (c connCloser) abort() { c.raw.Close() }
