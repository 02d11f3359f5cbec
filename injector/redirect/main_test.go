package redirect_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/fairlead/fairlead/injector/redirect"
)

// TestMain lets the test binary be the small program that runs as another user.
func TestMain(m *testing.M) {
	to := flag.String("reach", "", "connect to this address, print what the far end says first")
	from := flag.String("reach-from", "", "from this address")
	apply := flag.Bool("apply", false, "apply the default plan, print the error")
	flag.Parse()
	switch {
	case *to != "":
		fmt.Println(reachOnce(*to, *from))
	case *apply:
		plan, err := redirect.MakePlan(redirect.Options{})
		if err == nil {
			err = plan.Apply()
		}
		fmt.Println(err)
	default:
		os.Exit(m.Run())
	}
}

func reachOnce(to, from string) string {
	dialer := net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	line, err := greeting(conn)
	if err != nil {
		return err.Error()
	}
	return line
}
