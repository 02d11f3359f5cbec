package manifests

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxAliased bounds how many nodes of a document are read through aliases, so that
// a few lines cannot stand for billions ("billion laughs").
const maxAliased = 100_000

// decoder writes the nodes of one object into a typed value, as encoding/json
// would do with the same object, but strictly: it reports every field that the
// type does not have and every value of a wrong type, each with path and line.
type decoder struct {
	schemas *schemas
	// report is called for each problem; n is where it stands.
	report func(n *yaml.Node, code Code, path, message, fix string)

	offset  int  // lines of the file before the document
	aliased int  // nodes read through aliases so far
	inside  int  // aliases that are being followed
	reports int  // problems so far
	stopped bool // a bound was hit: nothing more is read
}

// maxReports bounds the problems of one object: nobody reads more of them.
const maxReports = 50

// problem reports, and ends the reading of an object that has nothing but problems.
func (d *decoder) problem(n *yaml.Node, code Code, path, message, fix string) {
	if d.stopped {
		return
	}
	d.report(n, code, path, message, fix)
	if d.reports++; d.reports >= maxReports {
		d.stop(n, nil, "has more problems than these")
	}
}

// step is a part of a path, linked to the part before it. Paths are written out
// only when there is something to report.
type step struct {
	parent *step
	field  string // of a struct, or the key of a map
	index  int
	kind   stepKind
}

type stepKind uint8

const (
	stepField stepKind = iota
	stepKey
	stepIndex
)

func (s *step) String() string {
	if s == nil {
		return ""
	}
	before := s.parent.String()
	switch {
	case s.kind == stepIndex:
		return before + "[" + strconv.Itoa(s.index) + "]"
	case s.kind == stepKey:
		return before + "[" + short(s.field) + "]"
	case before == "":
		return short(s.field)
	}
	return before + "." + short(s.field)
}

// decodeValue writes n into what to points to.
func decodeValue(d *decoder, n *yaml.Node, to any) { d.decode(n, reflect.ValueOf(to).Elem(), nil, 0) }

// decode writes n into v, which must be settable.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, at *step, depth int) {
	if depth > maxDepth {
		d.stop(n, at, "nested deeper than "+strconv.Itoa(maxDepth))
	}
	if d.stopped {
		return
	}
	if n.Kind == yaml.AliasNode {
		d.inside++
		d.decode(n.Alias, v, at, depth+1)
		d.inside--
		return
	}
	if !d.count(n, at) || n.Kind == yaml.ScalarNode && tagOf(n) == "!!null" {
		return
	}
	t := v.Type()
	info := d.schemas.of(t)
	if info.custom {
		d.custom(n, v, at, depth)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		d.decode(n, v.Elem(), at, depth+1)
	case reflect.Struct:
		d.structure(n, v, info, at, depth)
	case reflect.Map:
		d.mapping(n, v, at, depth)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			d.bytes(n, v, at)
			return
		}
		d.list(n, v, at, depth)
	default:
		d.scalar(n, v, at)
	}
}

// count counts a node against the bound on aliases.
func (d *decoder) count(n *yaml.Node, at *step) bool {
	if d.inside > 0 {
		if d.aliased++; d.aliased > maxAliased {
			d.stop(n, at, "aliases stand for more than "+strconv.Itoa(maxAliased)+" values")
		}
	}
	return !d.stopped
}

func (d *decoder) stop(n *yaml.Node, at *step, message string) {
	if !d.stopped {
		d.stopped = true
		d.report(n, CodeTooMuch, at.String(), message, "make it smaller and simpler")
	}
}

func (d *decoder) wrong(n *yaml.Node, at *step, want string) {
	fix := ""
	if n.Kind == yaml.ScalarNode && want == "text" {
		fix = "put it in quotes: " + strconv.Quote(short(n.Value))
	}
	d.problem(n, CodeWrongType, at.String(), "is "+describe(n)+", want "+want, fix)
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, info *schema, at *step, depth int) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, at, "a mapping")
		return
	}
	for _, p := range d.pairs(n, at, depth) {
		f, ok := info.fields[p.name]
		here := &step{parent: at, field: p.name}
		switch {
		case !ok:
			d.problem(p.key, CodeUnknownField, here.String(), "no such field", info.suggest(p.name))
		case f.ignored:
		default:
			d.decode(p.value, v.FieldByIndex(f.index), here, depth+1)
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at *step, depth int) {
	t := v.Type()
	if n.Kind != yaml.MappingNode {
		d.wrong(n, at, "a mapping")
		return
	}
	if t.Key().Kind() != reflect.String {
		d.problem(n, CodeWrongType, at.String(), "cannot be read from a manifest", "")
		return
	}
	pairs := d.pairs(n, at, depth)
	v.Set(reflect.MakeMapWithSize(t, len(pairs)))
	for _, p := range pairs {
		elem := reflect.New(t.Elem()).Elem()
		d.decode(p.value, elem, &step{parent: at, field: p.name, kind: stepKey}, depth+1)
		v.SetMapIndex(reflect.ValueOf(p.name).Convert(t.Key()), elem)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at *step, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, at, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, child := range n.Content {
		d.decode(child, v.Index(i), &step{parent: at, index: i, kind: stepIndex}, depth+1)
	}
}

func (d *decoder) bytes(n *yaml.Node, v reflect.Value, at *step) {
	if n.Kind != yaml.ScalarNode || tagOf(n) != "!!str" {
		d.wrong(n, at, "text")
		return
	}
	data, err := base64.StdEncoding.DecodeString(n.Value)
	if err != nil {
		d.problem(n, CodeWrongType, at.String(), "is not base64: "+err.Error(), "")
		return
	}
	v.SetBytes(data)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at *step) {
	tag := ""
	if n.Kind == yaml.ScalarNode {
		tag = tagOf(n)
	}
	number := tag == "!!int" || tag == "!!float"
	switch v.Kind() {
	case reflect.String:
		if tag != "!!str" {
			d.wrong(n, at, "text")
			return
		}
		s, err := textOf(n)
		if err != nil {
			d.problem(n, CodeWrongType, at.String(), "is not base64: "+err.Error(), "")
		}
		v.SetString(s)
	case reflect.Bool:
		if tag != "!!bool" {
			d.wrong(n, at, "true or false")
			return
		}
		v.SetBool(boolOf(n.Value))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, ok := integer(n)
		if !number || !ok || v.OverflowInt(i) {
			d.wrong(n, at, "a whole number of "+strconv.Itoa(v.Type().Bits())+" bits")
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, ok := integer(n)
		if !number || !ok || i < 0 || v.OverflowUint(uint64(i)) {
			d.wrong(n, at, "a whole number of "+strconv.Itoa(v.Type().Bits())+" bits, not negative")
			return
		}
		v.SetUint(uint64(i))
	case reflect.Float32, reflect.Float64:
		f, ok := float(n)
		if !number || !ok {
			d.wrong(n, at, "a number")
			return
		}
		v.SetFloat(f)
	default:
		d.problem(n, CodeWrongType, at.String(), "cannot be read from a manifest", "")
	}
}

// custom decodes a type that reads JSON itself: quantities, times, ports that are
// a number or a name.
func (d *decoder) custom(n *yaml.Node, v reflect.Value, at *step, depth int) {
	var b bytes.Buffer
	d.json(&b, n, at, depth)
	if d.stopped {
		return
	}
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(b.Bytes()); err != nil {
		d.problem(n, CodeWrongType, at.String(), "is "+describe(n)+": "+strings.TrimPrefix(err.Error(), "json: "), "")
	}
}

// json writes a node as JSON.
func (d *decoder) json(b *bytes.Buffer, n *yaml.Node, at *step, depth int) {
	if depth > maxDepth {
		d.stop(n, at, "nested deeper than "+strconv.Itoa(maxDepth))
	}
	if !d.count(n, at) {
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		d.inside++
		d.json(b, n.Alias, at, depth+1)
		d.inside--
	case yaml.MappingNode:
		b.WriteByte('{')
		for i, p := range d.pairs(n, at, depth) {
			if i > 0 {
				b.WriteByte(',')
			}
			key, _ := json.Marshal(p.name) // a string always can be
			b.Write(key)
			b.WriteByte(':')
			d.json(b, p.value, at, depth+1)
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, child := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			d.json(b, child, at, depth+1)
		}
		b.WriteByte(']')
	default:
		data, err := scalarJSON(n)
		if err != nil {
			d.problem(n, CodeWrongType, at.String(), err.Error(), "")
			data = []byte("null")
		}
		b.Write(data)
	}
}
