// Package shop is the example shop: its manifests, as a team would keep them. The
// program that plays its parts is in app.
package shop

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var manifests embed.FS

// Manifests returns the shop's Kubernetes manifests, a file each.
func Manifests() fs.FS { return manifests }
