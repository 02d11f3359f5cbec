package policy_test

import (
	"math/rand/v2"
	"testing"

	"github.com/fairlead/fairlead/policy"
)

func TestZZ(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	valid, invalid, sorted := 0, 0, 0
	for range 20000 {
		data := make([]byte, 900)
		for i := range data {
			data[i] = byte(rng.IntN(256))
		}
		store := (&generator{data: data}).store()
		for _, client := range []string{"shop", "client", "elsewhere"} {
			for _, port := range []uint16{80, 81} {
				out := policy.ForService(store, client, webName, port)
				checkOutbound(t, store, &out)
				n := 0
				for _, r := range out.Rules {
					if r.Invalid == "" {
						valid++
						n++
					} else {
						invalid++
					}
				}
				if n > 1 {
					sorted++
				}
			}
		}
		checkConsistent(t, store)
		policy.Lint(store)
	}
	t.Log(valid, invalid, sorted)
}
