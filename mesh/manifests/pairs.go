package manifests

import (
	"strconv"

	"go.yaml.in/yaml/v3"
)

// pair is a key of a mapping and its value.
type pair struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// pairs lists a mapping, with what it merges in by "<<" (YAML 1.1, type merge):
// its own keys go first, then those of the mappings in the order of their mention.
// A key that stands twice is reported; the first one counts.
func (d *decoder) pairs(n *yaml.Node, at *step, depth int) []pair {
	out := make([]pair, 0, len(n.Content)/2)
	var seen map[string]int // lines; made when searching the list gets slow
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !d.stopped; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name, ok := keyName(key)
		if !ok {
			d.problem(key, CodeWrongType, at.String(), "a key is "+describe(key)+", want text", "")
			continue
		}
		if line, twice := find(out, seen, name); twice {
			d.problem(key, CodeTwice, (&step{parent: at, field: name}).String(),
				"stands twice, first in line "+strconv.Itoa(d.offset+line), "keep one of the two")
			continue
		}
		out = append(out, pair{name, key, value})
		if seen = remember(seen, out); !d.count(key, at) {
			return nil
		}
	}
	for _, value := range merged {
		for _, p := range d.merge(value, at, depth) {
			if _, twice := find(out, seen, p.name); !twice {
				out = append(out, p)
				seen = remember(seen, out)
			}
		}
	}
	return out
}

// few is how many keys are searched one by one.
const few = 24

func find(list []pair, seen map[string]int, name string) (line int, ok bool) {
	if seen != nil {
		line, ok = seen[name]
		return line, ok
	}
	for i := range list {
		if list[i].name == name {
			return list[i].key.Line, true
		}
	}
	return 0, false
}

func remember(seen map[string]int, list []pair) map[string]int {
	last := list[len(list)-1]
	switch {
	case seen != nil:
		seen[last.name] = last.key.Line
	case len(list) > few:
		seen = make(map[string]int, 2*len(list))
		for _, p := range list {
			seen[p.name] = p.key.Line
		}
	}
	return seen
}

// merge lists what a "<<" brings in: a mapping, an alias of one, or a list of them.
func (d *decoder) merge(n *yaml.Node, at *step, depth int) []pair {
	if depth > maxDepth {
		d.stop(n, at, "merges nested deeper than "+strconv.Itoa(maxDepth))
	}
	if !d.count(n, at) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		d.inside++
		defer func() { d.inside-- }()
		return d.merge(n.Alias, at, depth+1)
	case yaml.MappingNode:
		return d.pairs(n, at, depth+1)
	case yaml.SequenceNode:
		var out []pair
		for _, child := range n.Content {
			out = append(out, d.merge(child, at, depth+1)...)
		}
		return out
	}
	d.problem(n, CodeWrongType, at.String(), "<< is "+describe(n)+", want a mapping", "")
	return nil
}

// keyName returns a key as text; kubectl takes numbers and booleans as keys too.
func keyName(key *yaml.Node) (string, bool) {
	for range maxDepth { // an alias may name an alias
		if key.Kind != yaml.AliasNode {
			break
		}
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode {
		return "", false
	}
	switch tagOf(key) {
	case "!!str":
		return key.Value, true
	case "!!float":
		f, ok := float(key)
		return strconv.FormatFloat(f, 'g', -1, 32), ok // as kubectl's parser writes it
	case "!!bool":
		return strconv.FormatBool(boolOf(key.Value)), true
	case "!!int":
		i, ok := integer(key)
		return strconv.FormatInt(i, 10), ok
	}
	return "", false
}
