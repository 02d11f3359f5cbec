package policy

import (
	"regexp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// redirectCodes are those that the API has (HTTPRequestRedirectFilter.statusCode).
var redirectCodes = []int{301, 302, 303, 307, 308}

// compileRedirect reads a RequestRedirect. Its port stays 0 unless the filter says
// one: the rest of the port's rule needs the Service port (Redirect.at).
func compileRedirect(f *gatewayv1.HTTPRequestRedirectFilter, scope filterScope) (*Redirect, problems) {
	r := &Redirect{Code: 302}
	var ps problems
	if f.Scheme != nil {
		r.Scheme = *f.Scheme
		if r.Scheme != "" && r.Scheme != "http" && r.Scheme != "https" {
			ps = append(ps, refuse(codeRedirect, "scheme", "use http or https", "%q is not known", r.Scheme)...)
		}
	}
	if f.StatusCode != nil {
		r.Code = *f.StatusCode
		if !slices.Contains(redirectCodes, r.Code) {
			ps = append(ps, refuse(codeRedirect, "statusCode", "use 301, 302, 303, 307 or 308", "%d is not the code of a redirect", r.Code)...)
		}
	}
	if f.Port != nil {
		if *f.Port < 1 || *f.Port > 65535 {
			ps = append(ps, refuse(codeRedirect, "port", "", "%d is not a port", *f.Port)...)
		} else {
			r.Port = uint16(*f.Port)
		}
	}
	host, more := compileHostname(f.Hostname)
	r.Host = host
	ps = append(ps, more...)
	r.FullPath, r.PrefixMatch, more = compilePathModifier(f.Path, scope)
	return r, append(ps, more...)
}

// at returns the redirect as seen on that port of a Service: the Location's port
// is the filter's, else that of its scheme, else the port that was called, and it
// is left out where it is the scheme's own. Calls inside the mesh are plain http
// to their callers.
func (r *Redirect) at(port uint16) *Redirect {
	if r == nil {
		return nil
	}
	final := *r
	wellKnown := uint16(80)
	if r.Scheme == "https" {
		wellKnown = 443
	}
	switch {
	case final.Port != 0:
	case r.Scheme != "":
		final.Port = wellKnown
	default:
		final.Port = port
	}
	final.ImpliedPort = final.Port == wellKnown
	return &final
}

// compileRewrite reads a URLRewrite; nil if it asks for nothing.
func compileRewrite(f *gatewayv1.HTTPURLRewriteFilter, scope filterScope) (*Rewrite, problems) {
	var r Rewrite
	host, ps := compileHostname(f.Hostname)
	r.Host = host
	full, prefix, more := compilePathModifier(f.Path, scope)
	r.FullPath, r.PrefixMatch = full, prefix
	ps = append(ps, more...)
	if r == (Rewrite{}) {
		return nil, ps
	}
	return &r, ps
}

// compilePathModifier reads a path modifier: the whole path, or the prefix that
// the rule's only match has found.
func compilePathModifier(m *gatewayv1.HTTPPathModifier, scope filterScope) (full, prefix *string, ps problems) {
	if m == nil {
		return nil, nil, nil
	}
	switch m.Type {
	case gatewayv1.FullPathHTTPPathModifier:
		full = m.ReplaceFullPath
		ps = checkReplacement("replaceFullPath", full, m.ReplacePrefixMatch != nil)
	case gatewayv1.PrefixMatchHTTPPathModifier:
		prefix = m.ReplacePrefixMatch
		ps = checkReplacement("replacePrefixMatch", prefix, m.ReplaceFullPath != nil)
		if !scope.onePrefix {
			ps = append(ps, refuse(codePathModifier, "type", "give the rule one match with a PathPrefix, or use ReplaceFullPath",
				"ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix")...)
		}
	default:
		ps = refuse(codePathModifier, "type", "use ReplaceFullPath or ReplacePrefixMatch", "%q is not known", m.Type)
	}
	if len(ps) > 0 {
		return nil, nil, ps.in("path")
	}
	if full != nil && *full == "" {
		root := "/" // no request can have an empty path
		full = &root
	}
	return full, prefix, nil
}

func checkReplacement(field string, value *string, other bool) problems {
	switch {
	case value == nil:
		return refuse(codePathModifier, field, "add it", "the type needs it")
	case other:
		return refuse(codePathModifier, "type", "keep the one of the type", "both replacements are given")
	case *value != "" && !strings.HasPrefix(*value, "/"):
		return refuse(codePathModifier, field, "", "the path %q does not begin with /", *value)
	case !headerValue(*value) || strings.ContainsAny(*value, " \t#"):
		return refuse(codePathModifier, field, "", "the path %q holds a character that a path may not have", *value)
	}
	return nil
}

// hostnamePattern is the API's PreciseHostname.
var hostnamePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func compileHostname(h *gatewayv1.PreciseHostname) (string, problems) {
	if h == nil || *h == "" {
		return "", nil
	}
	if len(*h) > 253 || !hostnamePattern.MatchString(string(*h)) {
		return "", refuse(codeHostname, "hostname", "write a DNS name in lower case, without a port", "%q is not a hostname", string(*h))
	}
	return string(*h), nil
}
