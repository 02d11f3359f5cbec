package policy

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/fairlead/fairlead/mesh"
)

// compileMirror reads a RequestMirror (GEP-3171). Nil if nothing is to be
// mirrored: the share is 0, or the backend is not there. The request itself goes
// on in that case (HTTPRequestMirrorFilter.backendRef).
func compileMirror(v mesh.View, namespace string, f *gatewayv1.HTTPRequestMirrorFilter) (*Mirror, problems) {
	numerator, denominator, ps := mirrorShare(f)
	target, more := resolve(v, namespace, f.BackendRef)
	ps = append(ps, more.in("backendRef")...)
	if len(ps) > 0 || numerator == 0 {
		return nil, ps
	}
	return &Mirror{Backend: target, Numerator: numerator, Denominator: denominator}, nil
}

func mirrorShare(f *gatewayv1.HTTPRequestMirrorFilter) (numerator, denominator uint32, ps problems) {
	switch {
	case f.Percent != nil && f.Fraction != nil:
		return 0, 0, refuse(codeMirror, "percent", "keep one of them", "both percent and fraction are given")
	case f.Percent != nil:
		if *f.Percent < 0 || *f.Percent > 100 {
			return 0, 0, refuse(codeMirror, "percent", "", "%d is not between 0 and 100", *f.Percent)
		}
		return uint32(*f.Percent), 100, nil
	case f.Fraction != nil:
		n, d := f.Fraction.Numerator, int32(100)
		if f.Fraction.Denominator != nil {
			d = *f.Fraction.Denominator
		}
		if n < 0 || d < 1 || n > d {
			return 0, 0, refuse(codeMirror, "fraction", "", "%d/%d is not between 0 and 1", n, d)
		}
		return uint32(n), uint32(d), nil
	}
	return 100, 100, nil
}
