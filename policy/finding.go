package policy

import "github.com/fairlead/fairlead/mesh"

// Severity of a Finding.
type Severity string

// The severities. An Error makes fairlead lint exit 1; a Warning does so with
// --strict; an Info never does.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Finding is one problem in one field of one object, and the way out.
type Finding struct {
	// Code is stable and never reused: "FL0207".
	Code     string    `json:"code"`
	Severity Severity  `json:"severity"`
	Kind     string    `json:"kind"`
	Object   mesh.Name `json:"object"`
	// Field is the path: "spec.rules[0].backendRefs[1].port".
	Field string `json:"field"`
	// Message says what was found and what is wrong with it; Fix says what to do.
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	// Source is where the object was read: "file:line".
	Source string `json:"source,omitempty"`
}

// String writes the finding in one line.
func (f Finding) String() string {
	s := f.Code + " " + string(f.Severity) + " " + f.Kind + " " + f.Object.String()
	if f.Source != "" {
		s = f.Source + ": " + s
	}
	if f.Field != "" {
		s += " " + f.Field
	}
	s += ": " + f.Message
	if f.Fix != "" {
		s += "; " + f.Fix
	}
	return s
}
