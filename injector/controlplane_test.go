package injector_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/internal/lab"
)

// authority is a CA for servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newCA(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: template, key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func (a *authority) server(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// adsServer says that there is nothing, and notes who asked.
type adsServer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *grpc.Server
	served chan error

	mu      sync.Mutex
	streams []string
	end     chan struct{} // closed to end the streams
}

func serveADS(t *testing.T, l *lab.Lab, ca *authority, name string) *adsServer {
	t.Helper()
	listener, err := l.Node().Listen("tcp", ":15012")
	if err != nil {
		t.Fatal(err)
	}
	s := &adsServer{end: make(chan struct{}), served: make(chan error, 1)}
	s.server = grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(new(ca.server(t, name)))),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s.server, s)
	go func() { s.served <- s.server.Serve(listener) }()
	t.Cleanup(s.stop)
	return s
}

func (s *adsServer) stop() {
	s.server.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served != nil {
		<-s.served
		s.served = nil
	}
}

func (s *adsServer) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.streams)
}

func (s *adsServer) has(stream string) bool { return slices.Contains(s.seen(), stream) }

func (s *adsServer) endStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.end)
	s.end = make(chan struct{})
}

func (s *adsServer) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	s.mu.Lock()
	end := s.end
	s.mu.Unlock()
	failed := make(chan error, 1)
	go func() { failed <- s.answer(stream) }()
	select {
	case err := <-failed:
		return err
	case <-end:
		return status.Error(codes.Unavailable, "the stream was asked to end")
	}
}

func (s *adsServer) answer(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for first := true; ; first = false {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if first {
			s.note(stream.Context(), req)
		}
		if req.ResponseNonce != "" {
			continue // an ACK
		}
		err = stream.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: req.TypeUrl, Nonce: "1", SystemVersionInfo: "1"})
		if err != nil {
			return err
		}
	}
}

// note keeps "token node-id uid" of a stream's first request.
func (s *adsServer) note(ctx context.Context, req *discoveryv3.DeltaDiscoveryRequest) {
	md, _ := metadata.FromIncomingContext(ctx)
	text := strings.Join(md.Get("authorization"), ",") + " " + req.Node.GetId() + " " + req.Node.GetMetadata().GetFields()["uid"].GetStringValue()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = append(s.streams, text)
}
