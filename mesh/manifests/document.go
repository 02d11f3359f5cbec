package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// document is one document of a file.
type document struct {
	root *yaml.Node
	// line is added to the lines of root's nodes.
	line int
}

// syntaxError is a document that cannot be parsed.
type syntaxError struct {
	line int // in the file
	text string
}

// documents parses a file. What cannot be parsed is left out and reported; more
// than max documents end it.
func documents(data []byte, max int) (docs []document, bad []syntaxError, tooMany bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // a byte order mark
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		// JSON gets a parser of its own: YAML's does not take all of it (tabs,
		// surrogate pairs). A YAML flow mapping may start like this too.
		if docs, err := jsonDocuments(data, max); err == nil {
			return docs, nil, len(docs) > max
		}
	}
	for _, chunk := range split(data) {
		nodes, err := parseYAML(chunk.data)
		for _, n := range nodes {
			docs = append(docs, document{root: n, line: chunk.line})
		}
		if err != nil {
			bad = append(bad, at(err, chunk))
		}
		if len(docs) > max {
			return docs, bad, true
		}
	}
	return docs, bad, false
}

// chunk is a part of a file between two document markers.
type chunk struct {
	data []byte
	line int // lines of the file before it
}

// split cuts the data at the lines that start a document ("---"). YAML allows them
// nowhere else, not even in a block scalar (YAML 1.2, 9.1.2). That way an error in
// one document does not hide the others.
func split(data []byte) []chunk {
	var out []chunk
	start, startLine, line := 0, 0, 0
	preamble := true // only comments and directives (%YAML) so far: they belong to what follows
	for i := 0; i < len(data); line++ {
		end := bytes.IndexByte(data[i:], '\n')
		next := i + end + 1
		if end < 0 {
			next = len(data)
		}
		if isMarker(data[i:next]) {
			if !preamble {
				out = append(out, chunk{data[start:i], startLine})
				start, startLine = i, line
			}
			preamble = false
		} else if !bytes.ContainsAny(data[i:i+1], "#%\r\n") {
			preamble = false
		}
		i = next
	}
	return append(out, chunk{data[start:], startLine})
}

func isMarker(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || bytes.IndexByte([]byte(" \t\r\n"), line[3]) >= 0)
}

// parseYAML returns the documents of a chunk: one, or more where "..." ends one.
// Empty ones are left out.
func parseYAML(data []byte) (nodes []*yaml.Node, err error) {
	defer func() {
		// Input from outside must not be able to end the process, whatever the parser
		// does with it.
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: the parser gave up: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return nodes, nil
		}
		if err != nil {
			return nodes, err
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 && n.Content[0].Tag != "!!null" {
			nodes = append(nodes, n.Content[0])
		}
	}
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// at places an error of the YAML parser.
func at(err error, c chunk) syntaxError {
	text := err.Error()
	m := yamlLine.FindStringSubmatchIndex(text)
	if m == nil {
		return syntaxError{line: c.line + 1, text: text}
	}
	line := 1
	if m[2] >= 0 {
		line, _ = strconv.Atoi(text[m[2]:m[3]])
	}
	return syntaxError{line: c.line + line, text: text[m[1]:]}
}
