//go:build linux

package demo

import (
	"path/filepath"
	"strconv"
)

// tour is what to try while the mesh is up.
func (w *world) tour() Tour {
	web := w.pods["web-1"]
	fairlead := w.program("fairlead")
	controller := " --controller unix:" + w.debugSocket()
	// Names resolve in the apps only, so an address stands for catalog.shop.
	catalog := "http://" + w.addresses[namespace+"/catalog"].String()
	inWeb := "ip netns exec " + web.Name() + " "
	return Tour{Dir: w.dir, Stops: []Stop{
		{"call the catalog from the pod web-1, through its sidecar", inWeb + w.program("shop") + " call -n 10 " + catalog + "/items"},
		{"place an order at the shop's front", inWeb + w.program("shop") + " call http://127.0.0.1:" + strconv.Itoa(int(web.port())) + "/order"},
		{"change the split; it takes effect when the file is saved", "${EDITOR:-vi} " + filepath.Join(w.manifests(), "catalog-route.yaml")},
		{"who is connected, and is it in sync", fairlead + " proxy status" + controller},
		{"what one sidecar holds", fairlead + " proxy config " + web.Key() + controller},
		{"what it would be told, from the files alone", fairlead + " render " + w.manifests() + " --workload " + namespace + "/web"},
		{"Envoy's own view: statistics, certificates, configuration", inWeb + w.program("shop") + " call http://127.0.0.1:15000/certs"},
		{"logs of every process", "ls " + w.lab.Dir()},
	}}
}
