package policy

import "github.com/fairlead/fairlead/mesh"

// ConditionType is the type of a condition in the status of a route (Gateway API).
type ConditionType string

// The conditions that Verdicts speak of.
const (
	Accepted     ConditionType = "Accepted"
	ResolvedRefs ConditionType = "ResolvedRefs"
	// PartiallyInvalid stands only where it is true: some rules are valid, and the
	// others are dropped. Requests that match these get a 500.
	PartiallyInvalid ConditionType = "PartiallyInvalid"
)

// The reasons of these conditions. All but ReasonConflicted are in the Gateway
// API's Go types; that one is GEP-1294's.
const (
	ReasonAccepted            = "Accepted"
	ReasonNoMatchingParent    = "NoMatchingParent"
	ReasonConflicted          = "Conflicted"
	ReasonUnsupportedValue    = "UnsupportedValue"
	ReasonIncompatibleFilters = "IncompatibleFilters"
	ReasonResolvedRefs        = "ResolvedRefs"
	ReasonInvalidKind         = "InvalidKind"
	ReasonBackendNotFound     = "BackendNotFound"
	ReasonUnsupportedProtocol = "UnsupportedProtocol"
)

// Verdict is what the mesh thinks of one route under one of its parents: the
// conditions that are to stand in status.parents[]. Times and generations are
// added by whoever writes the status.
type Verdict struct {
	Kind   string    `json:"kind"` // HTTPRoute or GRPCRoute
	Route  mesh.Name `json:"route"`
	Source string    `json:"source,omitempty"`
	// Parent is the Service; Port is parentRef.port, 0 if unset; ParentIndex is the
	// index in spec.parentRefs.
	Parent      mesh.Name   `json:"parent"`
	Port        uint16      `json:"port,omitempty"`
	ParentIndex int         `json:"parentIndex"`
	Conditions  []Condition `json:"conditions"`
}

// Condition is one condition of a Verdict.
type Condition struct {
	Type   ConditionType `json:"type"`
	Status bool          `json:"status"`
	Reason string        `json:"reason"` // a RouteConditionReason of the Gateway API
	// Message is for a person: which field, what was found, the way out. The same
	// problem always reads the same: no times, a fixed order.
	Message string `json:"message"`
	// Findings are the single problems that the condition speaks of, each with its
	// field, in the order of the fields.
	Findings []Finding `json:"-"` // lint lists them all
}
