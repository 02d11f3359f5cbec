package convert

import (
	"net/netip"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead/fairlead/mesh"
)

// Prefix is that of the mesh's own labels and annotations.
const Prefix = "fairlead.dev/"

// Injected is the annotation of a pod that has a sidecar; its value is "true".
const Injected = Prefix + "injected"

func name(m *metav1.ObjectMeta) mesh.Name {
	return mesh.Name{Namespace: m.Namespace, Name: m.Name}
}

// own returns the annotations under fairlead.dev/, nil if there are none: the rest
// (last-applied configurations above all) is not worth its memory.
func own(annotations map[string]string) map[string]string {
	var out map[string]string
	for k, v := range annotations {
		if strings.HasPrefix(k, Prefix) {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}

func created(m *metav1.ObjectMeta) time.Time {
	if m.CreationTimestamp.IsZero() {
		return time.Time{}
	}
	return m.CreationTimestamp.UTC().Truncate(time.Second)
}

// Address parses an IP address into the form that the mesh uses: IPv4 as such, no
// zone. False if s is none.
func Address(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// number returns n as a port number, 0 if it is none.
func number(n int32) uint16 {
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
}
