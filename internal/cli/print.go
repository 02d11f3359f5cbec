package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// outputFlag is the value of -o.
type outputFlag struct {
	value   string
	allowed []string
}

// newOutput makes a flag that takes one of the given formats; the first is the default.
func newOutput(allowed ...string) *outputFlag {
	return &outputFlag{value: allowed[0], allowed: allowed}
}

func (o *outputFlag) String() string { return o.value }

// Type names the flag's values in the help.
func (o *outputFlag) Type() string { return strings.Join(o.allowed, "|") }

// Set implements pflag.Value.
func (o *outputFlag) Set(s string) error {
	for _, a := range o.allowed {
		if s == a {
			o.value = s
			return nil
		}
	}
	return fmt.Errorf("output format %q is not one of %s", s, strings.Join(o.allowed, ", "))
}

// structured prints v as JSON or YAML if that was asked for.
func (o *outputFlag) structured(w io.Writer, v any) (done bool, err error) {
	switch o.value {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return true, enc.Encode(v)
	case "yaml":
		text, err := yaml.Marshal(v)
		if err != nil {
			return true, err
		}
		_, err = w.Write(text)
		return true, err
	}
	return false, nil
}
