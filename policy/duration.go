package policy

import (
	"regexp"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// durationPattern is the one of GEP-2257: a strict subset of time.ParseDuration's.
var durationPattern = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// parseDuration reads a Gateway API duration (GEP-2257). Nil stays nil.
func parseDuration(d *gatewayv1.Duration, field string) (*time.Duration, problems) {
	if d == nil {
		return nil, nil
	}
	if durationPattern.MatchString(string(*d)) {
		if parsed, err := time.ParseDuration(string(*d)); err == nil {
			return &parsed, nil
		}
	}
	return nil, refuse(codeDuration, field, `write it as in "1h30m" or "500ms"`, "%q is not a Gateway API duration (GEP-2257)", string(*d))
}
