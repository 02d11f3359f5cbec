package manifests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// tagOf says what a scalar is, the way kubectl reads it: its YAML parser follows
// YAML 1.1, where a plain yes or off is a boolean, and leaves times as strings.
func tagOf(n *yaml.Node) string {
	switch tag := n.ShortTag(); tag {
	case "!!null", "!!bool", "!!int", "!!float":
		return tag
	default:
		if n.Style == 0 && oldBool(n.Value) {
			return "!!bool"
		}
		return "!!str"
	}
}

func oldBool(s string) bool {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

func boolOf(s string) bool {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE":
		return true
	}
	return false
}

// integer reads a whole number in any notation of YAML. False if it is none, or
// beyond 64 bits.
func integer(n *yaml.Node) (int64, bool) {
	s := strings.ReplaceAll(n.Value, "_", "")
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

func float(n *yaml.Node) (float64, bool) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// scalarJSON writes a scalar as JSON.
func scalarJSON(n *yaml.Node) ([]byte, error) {
	switch tagOf(n) {
	case "!!null":
		return []byte("null"), nil
	case "!!bool":
		return strconv.AppendBool(nil, boolOf(n.Value)), nil
	case "!!int", "!!float":
		if i, ok := integer(n); ok {
			return strconv.AppendInt(nil, i, 10), nil
		}
		if f, ok := float(n); ok {
			return json.Marshal(f)
		}
		return nil, fmt.Errorf("%s is not a number that JSON can hold", n.Value)
	default:
		s, err := textOf(n)
		if err != nil {
			return nil, err
		}
		return json.Marshal(s)
	}
}

// textOf returns the value of a scalar that is text. With the tag !!binary it
// stands there as base64.
func textOf(n *yaml.Node) (string, error) {
	if n.ShortTag() != "!!binary" {
		return n.Value, nil
	}
	data, err := base64.StdEncoding.DecodeString(n.Value)
	return string(data), err
}

// describe says what a node is, for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tagOf(n) {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the boolean " + n.Value
	case "!!int", "!!float":
		return "the number " + short(n.Value)
	default:
		return "the text " + strconv.Quote(short(n.Value))
	}
}

// short keeps a message readable whatever the input holds.
func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
