package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// grpcApp is a gRPC server that answers with its name. The metadata "color" that
// it saw goes back as the header "saw-color"; every answer has the header "app",
// and the trailer "done".
type grpcApp struct {
	pb.UnimplementedTestServiceServer
	name string
}

// newGRPCShop is a shop whose apps speak gRPC.
func newGRPCShop(t *testing.T) *shop {
	t.Helper()
	return newShopOf(t, func(s *shop, app string, port int) { s.grpcApp(s.pod, app, port) })
}

func (s *shop) grpcApp(pod *meshtest.Pod, name string, port int) {
	s.t.Helper()
	l, err := pod.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		s.t.Fatal(err)
	}
	server := grpc.NewServer()
	app := &grpcApp{name: name}
	pb.RegisterTestServiceServer(server, app)
	pb.RegisterBenchmarkServiceServer(server, &grpcBenchmark{app: app})
	s.t.Cleanup(server.Stop)
	go server.Serve(l) //nolint:errcheck // it ends with the test
}

func (a *grpcApp) note(ctx context.Context) metadata.MD {
	in, _ := metadata.FromIncomingContext(ctx)
	return metadata.MD{"app": {a.name}, "saw-color": in.Get("color")}
}

func (a *grpcApp) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if err := errors.Join(grpc.SetHeader(ctx, a.note(ctx)), grpc.SetTrailer(ctx, metadata.Pairs("done", "yes"))); err != nil {
		return nil, err
	}
	if s := in.GetResponseStatus(); s.GetCode() != 0 {
		return nil, status.Error(codes.Code(s.GetCode()), s.GetMessage())
	}
	return &pb.SimpleResponse{Hostname: a.name, Payload: &pb.Payload{Body: make([]byte, len(in.GetPayload().GetBody()))}}, nil
}

func (a *grpcApp) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	return &pb.Empty{}, grpc.SetHeader(ctx, a.note(ctx))
}

func (a *grpcApp) StreamingOutputCall(in *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if err := s.SetHeader(a.note(s.Context())); err != nil {
		return err
	}
	for range in.GetResponseParameters() {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: []byte(a.name)}}); err != nil {
			return err
		}
	}
	return nil
}

func (a *grpcApp) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	if err := s.SetHeader(a.note(s.Context())); err != nil {
		return err
	}
	total := 0
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(total)})
		}
		if err != nil {
			return err
		}
		total += len(in.GetPayload().GetBody())
	}
}

func (a *grpcApp) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	if err := s.SetHeader(a.note(s.Context())); err != nil {
		return err
	}
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// grpcBenchmark is another service of the same server, with a method of the same
// name.
type grpcBenchmark struct {
	pb.UnimplementedBenchmarkServiceServer
	app *grpcApp
}

func (b *grpcBenchmark) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return b.app.UnaryCall(ctx, in)
}

// dial connects a gRPC client in the pod to an address.
func dial(t *testing.T, pod *meshtest.Pod, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) { return pod.DialContext(ctx, "tcp", a) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// answer is what a gRPC caller got.
type answer struct {
	app     string // empty if none answered
	code    codes.Code
	message string
	header  metadata.MD
	trailer metadata.MD
}

// outcome is the app that answered, or the name of the status.
func (a answer) outcome() string {
	if a.code != codes.OK {
		return a.code.String()
	}
	return a.app
}

func answered(header, trailer metadata.MD, err error) answer {
	a := answer{code: status.Code(err), header: header, trailer: trailer}
	if err != nil {
		a.message = status.Convert(err).Message()
	}
	if app := header.Get("app"); len(app) == 1 {
		a.app = app[0]
	}
	return a
}

// invoke makes one call of a kind: "unary", "empty", "benchmark" (the unary call of
// the other service), "server", "client" or "bidi".
func invoke(ctx context.Context, conn *grpc.ClientConn, kind string, md map[string]string) answer {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(md))
	test := pb.NewTestServiceClient(conn)
	var header, trailer metadata.MD
	options := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	var err error
	switch kind {
	case "unary":
		_, err = test.UnaryCall(ctx, &pb.SimpleRequest{}, options...)
	case "empty":
		_, err = test.EmptyCall(ctx, &pb.Empty{}, options...)
	case "benchmark":
		_, err = pb.NewBenchmarkServiceClient(conn).UnaryCall(ctx, &pb.SimpleRequest{}, options...)
	case "server":
		err = serverStream(ctx, test, options)
	case "client":
		err = clientStream(ctx, test, options)
	case "bidi":
		err = bidiStream(ctx, test, options)
	default:
		err = fmt.Errorf("no kind %q", kind)
	}
	return answered(header, trailer, err)
}

const messages = 5

func serverStream(ctx context.Context, c pb.TestServiceClient, options []grpc.CallOption) error {
	s, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{ResponseParameters: make([]*pb.ResponseParameters, messages)}, options...)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		_, err := s.Recv()
		if errors.Is(err, io.EOF) && n == messages {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func clientStream(ctx context.Context, c pb.TestServiceClient, options []grpc.CallOption) error {
	s, err := c.StreamingInputCall(ctx, options...)
	if err != nil {
		return err
	}
	for range messages {
		if err := s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, 1000)}}); err != nil {
			break // CloseAndRecv tells why
		}
	}
	r, err := s.CloseAndRecv()
	if err == nil && r.GetAggregatedPayloadSize() != messages*1000 {
		err = fmt.Errorf("the app saw %d bytes", r.GetAggregatedPayloadSize())
	}
	return err
}

// bidiStream waits for the echo of each message before it sends the next one.
func bidiStream(ctx context.Context, c pb.TestServiceClient, options []grpc.CallOption) error {
	s, err := c.FullDuplexCall(ctx, options...)
	if err != nil {
		return err
	}
	for i := range messages {
		want := fmt.Sprint("message ", i)
		if err := s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte(want)}}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		r, err := s.Recv()
		if err != nil {
			return err
		}
		if got := string(r.GetPayload().GetBody()); got != want {
			return fmt.Errorf("echoed %q for %q", got, want)
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("end of the stream: %w", err)
	}
	return nil
}
