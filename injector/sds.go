package injector

import (
	"encoding/json"
	"path"
)

// Files in the config folder of a sidecar (BootstrapOptions.ConfigDir). They are
// one projected volume, so that one swap renews all of them together.
const (
	TokenFile    = "token"          // the projected service-account token
	RootFile     = "root.pem"       // the trust bundle that the control plane is checked against
	TokenSDSFile = "token.sds.yaml" // what TokenSDS returns
	RootSDSFile  = "root.sds.yaml"  // what RootSDS returns
)

// Names of the secrets in the SDS files.
const (
	tokenSecret = "token"
	rootSecret  = "root"
)

// secretType is the type URL of Envoy's Secret.
const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// TokenSDS returns the SDS file that names the token in dir (DefaultConfigDir if
// empty). An SDS file holds exactly one resource: Envoy refuses more. It is JSON,
// in one line, so that an annotation can carry it to the downward API.
func TokenSDS(dir string) []byte {
	return sdsFile(tokenSecret, "generic_secret", "secret", path.Join(or(dir, DefaultConfigDir), TokenFile))
}

// RootSDS returns the SDS file that names the trust bundle in dir
// (DefaultConfigDir if empty). The bundle has to come this way: a filename in a
// static validation context is read once and never again.
func RootSDS(dir string) []byte {
	return sdsFile(rootSecret, "validation_context", "trusted_ca", path.Join(or(dir, DefaultConfigDir), RootFile))
}

func sdsFile(name, kind, field, file string) []byte {
	type object = map[string]any
	text, err := json.Marshal(object{"resources": []object{{
		"@type": secretType,
		"name":  name,
		kind:    object{field: object{"filename": file}},
	}}})
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return append(text, '\n')
}
