package token

import (
	"errors"
	"fmt"
)

// Reason says why a token was not accepted. It is stable: a metric's label.
type Reason string

// The reasons. All but Unavailable are final for this token.
const (
	Missing       Reason = "missing"
	Malformed     Reason = "malformed"
	BadAlgorithm  Reason = "bad_algorithm"
	UnknownKey    Reason = "unknown_key"
	BadSignature  Reason = "bad_signature"
	WrongIssuer   Reason = "wrong_issuer"
	WrongAudience Reason = "wrong_audience"
	Expired       Reason = "expired"
	NotYetValid   Reason = "not_yet_valid"
	NotBound      Reason = "not_bound"
	WrongSubject  Reason = "wrong_subject"
	Rejected      Reason = "rejected" // by the API server, which said why in words only
	DeadPod       Reason = "dead_pod"
	// Unavailable: nothing is known of the token, because the keys or the API server
	// could not be reached.
	Unavailable Reason = "unavailable"
)

// wayOut says what to do about each reason.
var wayOut = map[Reason]string{
	Missing:       "send it as \"authorization: Bearer <token>\"",
	Malformed:     "it must be the service-account token that the kubelet projects",
	BadAlgorithm:  "sign with RS256, RS384, RS512, ES256, ES384 or ES512",
	UnknownKey:    "the token is of another cluster or issuer, or its key was withdrawn; make the pod anew, or point the control plane at the right keys",
	BadSignature:  "the token was changed or is of another issuer; it must be sent as the kubelet wrote it",
	WrongIssuer:   "set the control plane's issuer to the cluster's (kube-apiserver --service-account-issuer)",
	WrongAudience: "project a token with the audience that the control plane expects",
	Expired:       "the kubelet renews the file in time: read it again for every stream, and compare the clocks",
	NotYetValid:   "compare the clocks of the control plane and the issuer",
	NotBound:      "use a projected token (serviceAccountToken volume), which is bound to its pod; tokens of Secrets and of kubectl create token are not",
	WrongSubject:  "the issuer contradicts itself; the token must come from the cluster's API server",
	Rejected:      "the token must be of this cluster, alive, and for the mesh's audience",
	DeadPod:       "only a pod that exists may connect; a new pod gets a token of its own",
	Unavailable:   "try again; if it stays, look at the control plane's connection to the API server",
}

// Error says why a token was not accepted and what to do. It never holds the token.
type Error struct {
	Reason Reason
	// Detail is what was found, "" if the reason says it all.
	Detail string
	// Err is the cause, if there is one that can be told.
	Err error
}

// Error writes the reason, what was found and the way out.
func (e *Error) Error() string {
	s := "token not accepted (" + string(e.Reason) + ")"
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; " + wayOut[e.Reason]
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns why err refused a token, "" if it is no *Error.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

func refuse(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// shortened quotes text of others so that it fits in a log line.
func shortened(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "..."
	}
	return fmt.Sprintf("%q", s)
}
