package mesh_test

import (
	"testing"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

// The binary of these tests is also the control plane that some of them kill.
func TestMain(m *testing.M) { meshtest.Main(m) }
