// Package version says which build this is.
package version

import "runtime/debug"

// version is set by the linker (Makefile).
var version string

// String returns the version that was built: a git description, or the module's
// version where it was installed with go install.
func String() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
