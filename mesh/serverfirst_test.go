package mesh

import (
	"slices"
	"testing"
)

func TestServerFirstPorts(t *testing.T) {
	defaults := DefaultServerFirstPorts()
	if !slices.IsSorted(defaults) || len(slices.Compact(slices.Clone(defaults))) != len(defaults) {
		t.Errorf("not sorted and unique: %v", defaults)
	}
	settings := &Settings{ServerFirstPorts: []uint16{9999, 25, 1}}
	all := settings.AllServerFirstPorts()
	if !slices.IsSorted(all) || len(all) != len(defaults)+2 {
		t.Errorf("with 1 and 9999 added: %v", all)
	}
	for _, port := range all {
		if !settings.ServerFirst(port) {
			t.Errorf("ServerFirst(%d) is false", port)
		}
	}
	var none *Settings
	if settings.ServerFirst(80) || none.ServerFirst(9999) || !none.ServerFirst(3306) {
		t.Error("ports are taken for server-first, or not, that should be otherwise")
	}
}
