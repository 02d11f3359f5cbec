package mesh_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/controller"
	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// The user's CA is replaced in one step, root and all, as somebody does who has
// never heard that it takes three: first trust both, then sign with the new one,
// then drop the old one. The mesh takes the three by itself, under load, with many
// new connections in each moment, and no call fails. A pod that starts in the midst
// of it is answered too.
func TestWholeCAIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	cas := []ca{newCA(t, "root 2025"), newCA(t, "root 2026"), newCA(t, "root 2027")}
	dir := t.TempDir()
	projectSecret(t, dir, cas[0].secret(t, cas[0]))
	m := meshtest.New(t, func(o *controller.Options) { o.CA = dir })
	m.Apply("catalog", catalogService)
	catalog := growCatalog(t, m, "catalog-0")
	sidecars := []*meshtest.Pod{catalog.Pod, m.Pod(podSpec("shop", "web"))}
	web := sidecars[1]
	address := m.Service("shop", "catalog").String()
	l, held := startLoads(t, web, address), holders(t, web, address)
	// A handshake between the sidecars with each call.
	fresh := web.StartCalls(4, func(context.Context, int) (string, error) { return talkOn(web, address) })
	l.add("new connections", fresh)
	l.more(5)

	for i, next := range cas[1:] {
		start := time.Now()
		projectSecret(t, dir, next.secret(t, next))
		if i == 0 {
			early := m.Pod(podSpec("shop", "early")) // while both are trusted
			if _, err := talkOn(early, address); err != nil {
				t.Errorf("a pod that started during the change: %v", err)
			}
			sidecars = append(sidecars, early)
		}
		m.Eventually(fmt.Sprintf("%s alone is trusted", next.certificate.Subject.CommonName), func() error {
			b := m.Controller().Authority().Bundle()
			if b.Len() != 1 || !b.Contains(next.certificate) {
				return fmt.Errorf("%s", b)
			}
			return nil
		})
		t.Logf("%s: %s", next.certificate.Subject.CommonName, time.Since(start))
		for _, p := range sidecars {
			c, err := leafOf(m, p)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.CheckSignatureFrom(next.certificate); err != nil {
				t.Errorf("%s shows a certificate of %s", p.Key(), c.Issuer)
			}
			m.Eventually(p.Key()+" knows the control plane by the new root alone", func() error {
				return onlyRoot(p, next.certificate)
			})
		}
		l.more(20)
		held.more(20)
	}
	l.mustNotFail("catalog-0")
	held.mustNotFail("catalog-0")

	// The control plane shows a certificate of the last root.
	m.Stop()
	m.Start()
	m.Connected(sidecars...)
}

// onlyRoot says what else than the root is in the file by which a sidecar knows the
// control plane.
func onlyRoot(p *meshtest.Pod, root *x509.Certificate) error {
	content, err := os.ReadFile(filepath.Join(p.Volume(), "root.pem"))
	if err != nil {
		return err
	}
	if want := (ca{certificate: root}).certificatePEM(); string(content) != string(want) {
		return fmt.Errorf("%s", content)
	}
	return nil
}
