package mesh

import (
	"fmt"
	"strings"
)

// DefaultTrustDomain is the trust domain unless the mesh sets another.
const DefaultTrustDomain = "cluster.local"

// Identity is who a workload proves to be: its service account.
type Identity struct {
	TrustDomain string
	Account     Name
}

// String returns the SPIFFE ID, "spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
// (SPIFFE-ID standard, section 2).
func (i Identity) String() string {
	return "spiffe://" + i.TrustDomain + "/ns/" + i.Account.Namespace + "/sa/" + i.Account.Name
}

// ParseIdentity reads what Identity.String writes.
func ParseIdentity(s string) (Identity, error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[0] == "" || parts[2] == "" || parts[4] == "" {
		return Identity{}, fmt.Errorf("identity %q is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>", s)
	}
	return Identity{TrustDomain: parts[0], Account: Name{Namespace: parts[2], Name: parts[4]}}, nil
}

func lower(s string) string { return strings.ToLower(s) }
