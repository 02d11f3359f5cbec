package manifests

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// schemas remembers how Go types read as JSON. Safe for concurrent use.
type schemas struct {
	byType sync.Map // reflect.Type -> *schema
}

// schema is how one type reads as JSON.
type schema struct {
	// custom types implement json.Unmarshaler.
	custom bool
	// fields of a struct, by their JSON names, embedded structs flattened.
	fields map[string]field
}

type field struct {
	index []int
	// ignored fields are not read at all: metadata.managedFields is bookkeeping of
	// the API server, and often larger than the rest of the object.
	ignored bool
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (s *schemas) of(t reflect.Type) *schema {
	if known, ok := s.byType.Load(t); ok {
		return known.(*schema)
	}
	out := &schema{custom: t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(unmarshaler)}
	if t.Kind() == reflect.Struct && !out.custom {
		out.fields = map[string]field{}
		addFields(out.fields, t, nil)
	}
	known, _ := s.byType.LoadOrStore(t, out)
	return known.(*schema)
}

func addFields(out map[string]field, t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(prefix), i)
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			addFields(out, f.Type, index)
		default:
			if name == "" {
				name = f.Name
			}
			out[name] = field{index: index, ignored: name == "managedFields"}
		}
	}
}

// suggest returns the way out for a field that the type does not have.
func (s *schema) suggest(name string) string {
	best, least := "", 3 // at most two letters away
	for known := range s.fields {
		d := distance(strings.ToLower(name), strings.ToLower(known))
		if d < least || d == least && known < best {
			best, least = known, d
		}
	}
	if best != "" && least < len(name) {
		return `did you mean "` + best + `"?`
	}
	return "remove it, or move it to where it belongs"
}

// distance is the number of letters to add, drop or change (Levenshtein).
func distance(a, b string) int {
	if len(a) > 60 || len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3 // far enough not to be asked again
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
