package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep a document may nest: a hundred times what any object
// of Kubernetes needs is still far from the end of the stack.
const maxDepth = 1000

// jsonDocuments parses JSON values, one after the other, into nodes like those of
// the YAML parser.
func jsonDocuments(data []byte, max int) ([]document, error) {
	p := jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	p.dec.UseNumber()
	var docs []document
	for len(docs) <= max {
		n, err := p.value(0)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, document{root: n})
	}
	return docs, nil
}

type jsonParser struct {
	data []byte
	dec  *json.Decoder
	// line is that of offset.
	offset, line int
}

func (p *jsonParser) node(kind yaml.Kind, tag string) *yaml.Node {
	end := int(p.dec.InputOffset())
	p.line += bytes.Count(p.data[p.offset:end], []byte{'\n'})
	p.offset = end
	return &yaml.Node{Kind: kind, Tag: tag, Line: p.line}
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch t := token.(type) {
	case json.Delim:
		n := p.node(yaml.MappingNode, "!!map")
		if t == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for p.dec.More() {
			if n.Kind == yaml.MappingNode {
				key, err := p.value(depth + 1)
				if err != nil {
					return nil, err
				}
				n.Content = append(n.Content, key)
			}
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, noEOF(err)
			}
			n.Content = append(n.Content, child)
		}
		_, err := p.dec.Token()
		return n, noEOF(err)
	case string:
		n := p.node(yaml.ScalarNode, "!!str")
		n.Style, n.Value = yaml.DoubleQuotedStyle, t
		return n, nil
	case json.Number:
		n := p.node(yaml.ScalarNode, "!!int")
		if n.Value = t.String(); strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
		return n, nil
	case bool:
		n := p.node(yaml.ScalarNode, "!!bool")
		n.Value = fmt.Sprint(t)
		return n, nil
	default:
		n := p.node(yaml.ScalarNode, "!!null")
		n.Value = "null"
		return n, nil
	}
}

// noEOF: the end of the input is only good between two values.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
