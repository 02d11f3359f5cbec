package policy

import "github.com/fairlead/fairlead/mesh"

// ConditionType is the type of a condition in the status of a route (Gateway API).
type ConditionType string

// The conditions that Verdicts speak of.
const (
	Accepted     ConditionType = "Accepted"
	ResolvedRefs ConditionType = "ResolvedRefs"
)

// Verdict is what the mesh thinks of one route under one of its parents: the
// conditions that are to stand in status.parents[]. Times and generations are
// added by whoever writes the status.
type Verdict struct {
	Kind   string // HTTPRoute or GRPCRoute
	Route  mesh.Name
	Source string
	// Parent is the Service; Port is parentRef.port, 0 if unset; ParentIndex is the
	// index in spec.parentRefs.
	Parent      mesh.Name
	Port        uint16
	ParentIndex int
	Conditions  []Condition
}

// Condition is one condition of a Verdict.
type Condition struct {
	Type    ConditionType
	Status  bool
	Reason  string // a RouteConditionReason of the Gateway API
	Message string // for a person: which field, what was found, the way out
	// Findings are the single problems behind a false status, each with its field.
	Findings []Finding
}
