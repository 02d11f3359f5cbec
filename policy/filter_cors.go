package policy

import (
	"regexp"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// defaultCORSMaxAge is the API's default for maxAge, in seconds.
const defaultCORSMaxAge = 5

// corsOrigin is the API's CORSOrigin.
var corsOrigin = regexp.MustCompile(`^\*$|^https?://(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$`)

// compileCORS reads a CORS filter (GEP-1767).
func compileCORS(f *gatewayv1.HTTPCORSFilter) (*CORS, problems) {
	var c CORS
	var ps, more problems
	c.AllowOrigins, ps = corsList("allowOrigins", f.AllowOrigins, func(s string) bool { return corsOrigin.MatchString(s) })
	c.AllowMethods, more = corsList("allowMethods", f.AllowMethods, func(s string) bool {
		method := gatewayv1.HTTPMethod(s)
		_, bad := compileMethod(&method)
		return s == "*" || len(bad) == 0
	})
	ps = append(ps, more...)
	c.AllowHeaders, more = corsList("allowHeaders", f.AllowHeaders, headerName.MatchString)
	ps = append(ps, more...)
	c.ExposeHeaders, more = corsList("exposeHeaders", f.ExposeHeaders, headerName.MatchString)
	ps = append(ps, more...)

	c.AllowCredentials = f.AllowCredentials != nil && *f.AllowCredentials
	maxAge := f.MaxAge
	if maxAge == 0 {
		maxAge = defaultCORSMaxAge
	}
	if maxAge < 0 {
		ps = append(ps, refuse(codeCORS, "maxAge", "give it in seconds, at least 1", "%d is negative", maxAge)...)
	}
	c.MaxAge = time.Duration(maxAge) * time.Second
	return &c, ps
}

// corsList reads one list of a CORS filter; a "*" is valid only by itself.
func corsList[S ~string](field string, list []S, valid func(string) bool) ([]string, problems) {
	var out []string
	var ps problems
	for i, s := range list {
		switch {
		case !valid(string(s)):
			ps = append(ps, refuse(codeCORS, "", "", "%q is not valid here", s).inItem(field, i)...)
		case s == "*" && len(list) > 1 && field != "exposeHeaders":
			ps = append(ps, refuse(codeCORS, "", "keep only the *", "a * cannot stand beside other entries").inItem(field, i)...)
		}
		out = append(out, string(s))
	}
	return out, ps
}
