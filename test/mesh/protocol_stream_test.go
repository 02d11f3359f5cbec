package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// quietTime is longer than any time after which Envoy's defaults end what is under
// way (15 s for a request's answer).
const quietTime = 16 * time.Second

// chatService is a gRPC service with one method, a stream in both directions. The
// first message says what the server does.
var chatService = &grpc.ServiceDesc{
	ServiceName: "shop.Chat",
	HandlerType: (*any)(nil),
	Streams:     []grpc.StreamDesc{{StreamName: "Talk", ServerStreams: true, ClientStreams: true, Handler: talk}},
}

func talk(_ any, s grpc.ServerStream) error {
	s.SetTrailer(metadata.Pairs("x-end", "said"))
	in := &wrapperspb.StringValue{}
	for n := 0; ; n++ {
		if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
			return s.SendMsg(wrapperspb.String(fmt.Sprintf("%d messages", n)))
		} else if err != nil {
			return err
		}
		switch in.Value {
		case "fail":
			return status.Error(codes.ResourceExhausted, "too many words")
		case "wait":
			timer := time.NewTimer(quietTime)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-s.Context().Done():
				return s.Context().Err()
			}
		}
		if err := s.SendMsg(in); err != nil {
			return err
		}
	}
}

// serveGRPC runs the chat service on the port; ended gets what each call's context
// ended with.
func serveGRPC(t *testing.T, p *meshtest.Pod, port int) (ended chan error) {
	t.Helper()
	ended = make(chan error, 100)
	l, err := p.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.StreamInterceptor(
		func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			err := next(srv, ss)
			ended <- ss.Context().Err()
			return err
		}))
	s.RegisterService(chatService, nil)
	t.Cleanup(s.Stop)
	go s.Serve(l) //nolint:errcheck // it ends with the test
	return ended
}

// dialGRPC connects from the pod to an address, without any TLS of its own.
func dialGRPC(t *testing.T, p *meshtest.Pod, address string) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) { return p.DialContext(ctx, "tcp", a) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

func openTalk(t *testing.T, ctx context.Context, cc *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	s, err := cc.NewStream(ctx, &chatService.Streams[0], "/shop.Chat/Talk")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// say sends a message and returns the one that comes back.
func say(s grpc.ClientStream, text string) (string, error) {
	if err := s.SendMsg(wrapperspb.String(text)); err != nil {
		return "", err
	}
	out := &wrapperspb.StringValue{}
	err := s.RecvMsg(out)
	return out.Value, err
}

// gRPC and WebSockets last as long as their ends like, quiet or busy, and end as
// the ends said.
func TestLongStreamsAreNotCut(t *testing.T) {
	t.Parallel()
	m, client, server, _ := protocolMesh(t)
	ended := serveGRPC(t, server, 9000)
	cc := dialGRPC(t, client, meshtest.At(m.Service("shop", "server"), 9000))
	server.Serve(8080, http.HandlerFunc(socketHandler))
	url := "ws://" + m.Service("shop", "server").String() + "/socket"

	dialer := websocket.Dialer{NetDialContext: client.DialContext, Subprotocols: []string{"v9", "chat"}}
	dial := func(t *testing.T) *websocket.Conn {
		t.Helper()
		ws, resp, err := dialer.DialContext(m.Ctx, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		if resp.StatusCode != http.StatusSwitchingProtocols || ws.Subprotocol() != "chat" {
			t.Fatalf("%s, protocol %q", resp.Status, ws.Subprotocol())
		}
		return ws
	}

	// These two are quiet while the others are at work, and some time longer.
	quiet, quietSocket := openTalk(t, t.Context(), cc), dial(t)
	if err := errors.Join(quiet.SendMsg(wrapperspb.String("wait")), quietSocket.WriteMessage(websocket.TextMessage, []byte("wait"))); err != nil {
		t.Fatal(err)
	}

	t.Run("gRPC", func(t *testing.T) {
		s := openTalk(t, t.Context(), cc)
		for i := range 2000 {
			if got, err := say(s, fmt.Sprint("message ", i)); err != nil || got != fmt.Sprint("message ", i) {
				t.Fatalf("message %d: %q %v", i, got, err)
			}
		}
		large := strings.Repeat("x", 8<<20)
		if got, err := say(s, large); err != nil || got != large {
			t.Fatalf("a message of 8 MiB came back as %d bytes: %v", len(got), err)
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		out := &wrapperspb.StringValue{}
		if err := s.RecvMsg(out); err != nil || out.Value != "2001 messages" {
			t.Errorf("after the client's end: %q %v", out.Value, err)
		}
		if err := s.RecvMsg(out); !errors.Is(err, io.EOF) || !slices.Equal(s.Trailer()["x-end"], []string{"said"}) {
			t.Errorf("at the end: %v, trailers %v", err, s.Trailer())
		}
	})

	t.Run("gRPC status", func(t *testing.T) {
		_, err := say(openTalk(t, t.Context(), cc), "fail")
		if s := status.Convert(err); s.Code() != codes.ResourceExhausted || s.Message() != "too many words" {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting := openTalk(t, ctx, cc)
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := say(waiting, "wait"); status.Code(err) != codes.Canceled {
			t.Errorf("after the caller gave up: %v", err)
		}
		for {
			select {
			case err := <-ended:
				if err != nil {
					return
				}
			case <-time.After(10 * time.Second):
				t.Fatal("the server was not told that its caller has gone")
			}
		}
	})

	// Both ends know the deadline. If the server notices it a moment earlier, the reset
	// of its stream is an answer of the sidecar's: UNAVAILABLE.
	t.Run("gRPC deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := say(openTalk(t, ctx, cc), "wait"); status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Unavailable {
			t.Errorf("after the deadline: %v", err)
		}
	})

	t.Run("WebSocket", func(t *testing.T) {
		ws := dial(t)
		repeat(t, ws, websocket.TextMessage, "hello")
		repeat(t, ws, websocket.BinaryMessage, strings.Repeat("\x00\xff", 1<<20))
		pong := ""
		ws.SetPongHandler(func(s string) error { pong = s; return nil })
		if err := ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		repeat(t, ws, websocket.TextMessage, "after the ping")
		if pong != "are you there" {
			t.Errorf("pong: %q", pong)
		}
		message := websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye")
		if err := ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		var closed *websocket.CloseError
		if _, _, err := ws.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.CloseGoingAway {
			t.Errorf("the server repeats the close: %v", err)
		}
	})

	t.Run("WebSocket refused", func(t *testing.T) {
		_, resp, err := dialer.DialContext(t.Context(), url+"/refused", nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("www-authenticate") != "Basic" {
			t.Errorf("%v %v", resp, err)
		}
	})

	t.Run("gRPC after a long quiet", func(t *testing.T) {
		out := &wrapperspb.StringValue{}
		if err := quiet.RecvMsg(out); err != nil || out.Value != "wait" {
			t.Fatalf("after %s without a word: %q %v", quietTime, out.Value, err)
		}
		if got, err := say(quiet, "again"); err != nil || got != "again" {
			t.Errorf("%q %v", got, err)
		}
	})

	t.Run("WebSocket after a long quiet", func(t *testing.T) {
		if _, got, err := quietSocket.ReadMessage(); err != nil || string(got) != "wait" {
			t.Fatalf("after %s without a word: %q %v", quietTime, got, err)
		}
		if err := quietSocket.WriteMessage(websocket.TextMessage, []byte("close 4321")); err != nil {
			t.Fatal(err)
		}
		var closed *websocket.CloseError
		if _, _, err := quietSocket.ReadMessage(); !errors.As(err, &closed) || closed.Code != 4321 || closed.Text != "as you wished" {
			t.Errorf("the server's close: %v", err)
		}
	})
}

// repeat sends a message and wants it back.
func repeat(t *testing.T, ws *websocket.Conn, kind int, text string) {
	t.Helper()
	if err := ws.WriteMessage(kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
	gotKind, got, err := ws.ReadMessage()
	if err != nil || gotKind != kind || string(got) != text {
		t.Fatalf("%d bytes came back as %d: %v", len(text), len(got), err)
	}
}

// socketHandler repeats messages; "wait" it repeats late, "close N" makes it close.
func socketHandler(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/refused") {
		w.Header().Set("www-authenticate", "Basic")
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	upgrader := websocket.Upgrader{Subprotocols: []string{"chat"}}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer ws.Close()
	for {
		kind, text, err := ws.ReadMessage()
		if err != nil {
			return
		}
		var code int
		if n, _ := fmt.Sscanf(string(text), "close %d", &code); n == 1 {
			ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "as you wished"), time.Now().Add(10*time.Second)) //nolint:errcheck // the caller looks
			ws.ReadMessage()                                                                                                             //nolint:errcheck // the caller's close
			return
		}
		if string(text) == "wait" {
			<-time.After(quietTime)
		}
		if ws.WriteMessage(kind, text) != nil {
			return
		}
	}
}
