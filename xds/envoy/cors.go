package envoy

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead/fairlead/policy"
)

// cors writes the Gateway API's CORS filter (GEP-1767). A "*" among methods or
// headers is answered by Envoy with what the preflight asks for, which holds with
// credentials as well, where browsers take a "*" literally.
func cors(c *policy.CORS) *corsv3.CorsPolicy {
	p := &corsv3.CorsPolicy{
		AllowMethods:  strings.Join(c.AllowMethods, ","),
		AllowHeaders:  strings.Join(c.AllowHeaders, ","),
		ExposeHeaders: strings.Join(c.ExposeHeaders, ","),
		// A preflight of an origin that is not allowed gets an answer without the
		// headers, not the app's opinion.
		ForwardNotMatchingPreflights: no(),
	}
	for _, o := range c.AllowOrigins {
		p.AllowOriginStringMatch = append(p.AllowOriginStringMatch, origin(o))
	}
	if c.AllowCredentials {
		p.AllowCredentials = wrapperspb.Bool(true)
	}
	if c.MaxAge > 0 {
		p.MaxAge = strconv.FormatInt(int64(c.MaxAge/time.Second), 10)
	}
	return p
}

// origin matches "*", an exact origin, or one with a "*" in its host that stands
// for any number of labels.
func origin(o string) *matcherv3.StringMatcher {
	switch {
	case o == "*":
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(".*")}}
	case strings.Contains(o, "*"):
		pattern := strings.ReplaceAll(regexp.QuoteMeta(o), `\*`, `[^/:]*`)
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(pattern)}}
	default:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: o}}
	}
}
