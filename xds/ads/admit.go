package ads

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// serve is the handler of a stream. Streams that come all at once (a reconnect
// storm) are authenticated and synced a bounded number at a time, in the order
// in which they came; one that waits holds nothing but its place. It can be
// closed meanwhile like any other.
func (srv *Server) serve(g grpc.ServerStream) error {
	p, ok := peer.FromContext(g.Context())
	if !ok {
		return status.Error(codes.Internal, "the connection has no peer")
	}
	conn, ok := p.AuthInfo.(connInfo)
	if !ok {
		return status.Error(codes.Internal, "the gRPC server was not made with ads.ServerOptions")
	}
	return srv.serveWire(g, conn.closer, p.Addr.String())
}

// serveWire serves one stream over w. It returns when the client is gone.
func (srv *Server) serveWire(w wire, conn closer, remote string) error {
	client, err := srv.authenticate(w.Context())
	if err != nil {
		srv.stats.refused.Add(1)
		srv.log.Warn("a stream is refused", "remote", remote, "error", err)
		return err
	}
	s := srv.newStream(w, conn, remote, client)
	if srv.register(s) != nil {
		return errDraining()
	}
	defer srv.unregister(s)
	defer s.end()
	// What happens to the pod from here on reaches s. What has happened since it was
	// authenticated may not have.
	if !s.refresh() {
		srv.stats.refused.Add(1)
		return status.Errorf(codes.PermissionDenied, "pod %s is gone", client.Pod)
	}
	if srv.syncSem.Acquire(w.Context(), 1) != nil {
		return status.FromContextError(w.Context().Err()).Err()
	}
	s.begin(time.Now())
	if srv.draining.Load() {
		return errDraining()
	}
	srv.stats.connects.Add(1)
	if err := s.read(); err != io.EOF {
		return err
	}
	return nil
}

// begin starts the initial sync; end, if not synced before, ends it.
func (s *stream) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncing = true
	s.syncUntil = now.Add(s.srv.cfg.SyncLease)
	s.arm(s.syncUntil)
	if !s.ageAt.IsZero() {
		s.arm(s.ageAt)
	}
}

func errDraining() error {
	return status.Error(codes.Unavailable, "this replica of the control plane is shutting down; connect to another")
}

// authenticate finds out whose the stream is.
func (srv *Server) authenticate(ctx context.Context) (*Client, error) {
	if srv.draining.Load() {
		return nil, errDraining()
	}
	token, ok := bearer(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the stream has no bearer token in its authorization header; the sidecar's credential_injector adds it from the projected service-account token")
	}
	if srv.authSem.Acquire(ctx, 1) != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	defer srv.authSem.Release(1)
	ctx, cancel := context.WithTimeout(ctx, srv.cfg.AuthTimeout)
	defer cancel()
	c, err := srv.cfg.Authenticate(ctx, token)
	if err == nil && c == nil {
		err = status.Error(codes.PermissionDenied, "the token is nobody's")
	}
	if err == nil {
		return c, nil
	}
	code := codes.Unauthenticated
	if st, ok := status.FromError(err); ok {
		code = st.Code()
		err = st.Err()
	}
	text := strings.ReplaceAll(status.Convert(err).Message(), token, "[token]")
	return nil, status.Error(code, text)
}

func bearer(ctx context.Context) (token string, ok bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		scheme, token, found := strings.Cut(v, " ")
		if token = strings.TrimSpace(token); found && token != "" && strings.EqualFold(scheme, "bearer") {
			return token, true
		}
	}
	return "", false
}

func (srv *Server) newStream(w wire, conn closer, remote string, c *Client) *stream {
	now := time.Now()
	s := &stream{
		srv:    srv,
		id:     srv.lastID.Add(1),
		wire:   w,
		conn:   conn,
		since:  now,
		remote: remote,
	}
	if age := srv.cfg.MaxAge; age > 0 {
		s.ageAt = now.Add(age/2 + rand.N(age+1))
	}
	s.client.Store(c)
	return s
}

// checkSynced ends the initial sync once the client has all that it asked for.
func (s *stream) checkSynced() {
	if s.syncing && s.started && !s.pushing && len(s.inflight) == 0 && !s.unbuilt() {
		s.synced()
	}
}

// synced makes room for the next stream.
func (s *stream) synced() {
	if s.syncing {
		s.syncing = false
		s.srv.syncSem.Release(1)
	}
}
