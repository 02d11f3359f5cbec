package injector

import (
	"bytes"
	"fmt"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// quotedYAML writes m as block YAML, fields in the order of their numbers, with
// every string value in double quotes: whatever the kubelet puts in place of a
// $(VAR) stays one string (names of objects hold neither quotes nor backslashes).
func quotedYAML(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	// ASCII JSON is YAML: the nodes keep the order of the fields and the quotes.
	var doc yaml.Node
	if err := yaml.Unmarshal(asciiJSON(text), &doc); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	blockStyle(&doc)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return out.Bytes(), enc.Close()
}

// asciiJSON escapes what is beyond printable ASCII, which in JSON only strings
// hold. YAML would read some of it as line breaks and refuse other parts.
func asciiJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return out
}

// blockStyle turns flow collections into block ones and takes the quotes off keys
// that need none; the quotes of values stay.
func blockStyle(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		n.Style = 0
		for i := 0; i < len(n.Content); i += 2 {
			n.Content[i].Style = 0
			blockStyle(n.Content[i+1])
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		n.Style = 0
		for _, c := range n.Content {
			blockStyle(c)
		}
	}
}
