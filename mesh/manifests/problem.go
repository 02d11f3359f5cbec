package manifests

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// Code says what sort of problem it is. Codes are stable and never reused.
type Code string

// The codes of this package.
const (
	CodeUnreadable   Code = "FL0101" // a file or folder that cannot be read
	CodeSyntax       Code = "FL0102" // neither YAML nor JSON
	CodeTooMuch      Code = "FL0103" // beyond a bound of Options, or an alias bomb
	CodeNoKind       Code = "FL0104" // looks like an object, but has no kind or apiVersion
	CodeUnknownField Code = "FL0105" // a field that the type does not have
	CodeWrongType    Code = "FL0106" // a value that the field cannot hold
	CodeTwice        Code = "FL0107" // the same key twice in one mapping
	CodeName         Code = "FL0108" // a missing or invalid name or namespace
	CodeDuplicate    Code = "FL0109" // an object that stands in two places
	CodeVersion      Code = "FL0110" // an apiVersion that is not served any more, or not yet
	CodeInvalid      Code = "FL0111" // a value that the API server would refuse
	CodeGone         Code = "FL0112" // the whole folder is not there
	CodeNoAddress    Code = "FL0113" // no stand-in address is left in the range
	CodeSharedIP     Code = "FL0114" // two Services with the same cluster IP
)

// Problem is something wrong in a manifest: where it stands, what it is and the
// way out. It is an error.
type Problem struct {
	Code Code
	// File and Line (from 1) say where; Line is 0 if it concerns the whole file.
	File string
	Line int
	// Kind and Name are those of the object, empty if it did not get that far.
	Kind string
	Name mesh.Name
	// Field is the path: "spec.ports[0].port".
	Field string
	// Message says what was found and what is wrong with it; Fix says what to do.
	Message string
	Fix     string
}

// Error writes the problem in one line.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.Source() + ": ")
	}
	b.WriteString(string(p.Code))
	if p.Kind != "" {
		b.WriteString(" " + p.Kind)
	}
	if p.Name.Name != "" {
		b.WriteString(" " + p.object())
	}
	if p.Field != "" {
		b.WriteString(" " + p.Field)
	}
	b.WriteString(": " + p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Source returns "file:line", or the file alone.
func (p Problem) Source() string { return place{p.File, p.Line}.String() }

func (p Problem) object() string {
	if p.Name.Namespace == "" {
		return p.Name.Name
	}
	return p.Name.String()
}

func compareProblems(a, b Problem) int {
	return cmp.Or(
		cmp.Compare(a.File, b.File),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Field, b.Field),
		cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Message, b.Message),
	)
}

// place is where something stands.
type place struct {
	file string
	line int
}

func (p place) String() string {
	if p.line == 0 {
		return p.file
	}
	return p.file + ":" + strconv.Itoa(p.line)
}

// Skipped is a kind of object that the mesh has no use for.
type Skipped struct {
	// APIVersion and Kind are both empty for documents that are no Kubernetes
	// objects at all (a chart's values.yaml, say).
	APIVersion string
	Kind       string
	// Count is the number of such objects, First the place of the first one.
	Count int
	First string
}

// String writes it for a person.
func (s Skipped) String() string {
	what := s.APIVersion + " " + s.Kind
	if s.Kind == "" {
		what = "not a Kubernetes object"
	}
	if s.Count == 1 {
		return what + " (" + s.First + ")"
	}
	return what + " (" + strconv.Itoa(s.Count) + ", first at " + s.First + ")"
}
