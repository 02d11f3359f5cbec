package mesh_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/internal/lab"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// A call to a Service is mutual TLS between the identities of both ends, for
// HTTP and for TCP, and the first call is no different to the caller.
func TestCallsAreMutualTLS(t *testing.T) {
	m := meshtest.New(t)
	m.Apply("services", `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: ledger, port: 3306, targetPort: 3306}]
`)
	catalog := m.Pod(lab.PodSpec{Namespace: "shop", Name: "catalog", ServiceAccount: "catalog", Meshed: true})
	web := m.Pod(lab.PodSpec{Namespace: "shop", Name: "web", ServiceAccount: "web", Meshed: true})
	catalog.Serve(8080, nil)
	catalog.ServeTCP(3306, func(c net.Conn) {
		fmt.Fprintln(c, "hello")
		line, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Fprintf(c, "you said %s", line)
	})

	r := web.Get(m.Service("shop", "catalog").String() + "/items?x=1")
	t.Logf("first call: %d in %s", r.Status, r.Took)
	if r.Status != 200 || r.Echo.Pod != "catalog" || r.Echo.Path != "/items?x=1" {
		t.Fatalf("answer: %d %s", r.Status, r.Body)
	}
	xfcc := r.Echo.Header.Get("X-Forwarded-Client-Cert")
	if !strings.Contains(xfcc, "URI=spiffe://cluster.local/ns/shop/sa/web") {
		t.Errorf("the app was told of the caller: %q", xfcc)
	}
	r = web.Get(m.Service("shop", "catalog").String() + "/items")
	t.Logf("second call: %d in %s", r.Status, r.Took)

	conn, err := web.Dial(m.Service("shop", "ledger").String() + ":3306")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("greeting: %q, %v", line, err)
	}
	fmt.Fprintln(conn, "ping")
	if line, err := in.ReadString('\n'); err != nil || line != "you said ping\n" {
		t.Fatalf("answer: %q, %v", line, err)
	}
}
