package policy

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// reservedHeader is the prefix of the headers that the mesh uses between its proxies.
const reservedHeader = "x-fairlead-"

// compileHeaderChange reads a header modifier. One header may have one action
// only; of one action given twice the first counts (HTTPHeader.name).
func compileHeaderChange(f *gatewayv1.HTTPHeaderFilter, request bool) (*HeaderChange, problems) {
	var change HeaderChange
	var ps problems
	actions := make(map[string]string, len(f.Set)+len(f.Add)+len(f.Remove))
	// take reports whether the action on that header is to be done.
	take := func(action string, i int, field, name string) bool {
		key := strings.ToLower(name)
		more := checkHeader(field, name, request, action)
		if len(more) == 0 {
			switch before := actions[key]; before {
			case "":
				actions[key] = action
				return true
			case action:
				more = warn(codeNameRepeated, field, "remove it", "%q is in the list already: only the first counts", name)
			default:
				more = refuse(codeHeaderModifier, field, "keep one of them", "the header %q has the actions %s and %s", name, before, action)
			}
		}
		ps = append(ps, more.inItem(action, i)...)
		return false
	}
	values := func(action string, headers []gatewayv1.HTTPHeader) (list []HeaderValue) {
		for i, h := range headers {
			if h.Value == "" || !headerValue(h.Value) {
				ps = append(ps, refuse(codeHeaderModifier, "value", "", "no header can be given the value %q", h.Value).inItem(action, i)...)
				continue
			}
			if take(action, i, "name", string(h.Name)) {
				list = append(list, HeaderValue{Name: strings.ToLower(string(h.Name)), Value: h.Value})
			}
		}
		return list
	}
	change.Set = values("set", f.Set)
	change.Add = values("add", f.Add)
	for i, name := range f.Remove {
		if take("remove", i, "", name) {
			change.Remove = append(change.Remove, strings.ToLower(name))
		}
	}
	if change.Empty() {
		return nil, ps
	}
	return &change, ps
}

// checkHeader checks that the header may be changed. Host can be set in a request:
// see filterSet.hostHeader.
func checkHeader(field, name string, request bool, action string) problems {
	lower := strings.ToLower(name)
	switch {
	case !headerName.MatchString(name):
		return refuse(codeHeaderModifier, field, "", "%q is not the name of a header", name)
	case strings.HasPrefix(lower, reservedHeader):
		return refuse(codeHeaderModifier, field, "use another name", "headers that begin with %q are the mesh's own", reservedHeader)
	case lower == "host" && (!request || action != "set"):
		return refuse(codeHeaderModifier, field, "set it in the request, or use a URLRewrite", "the header Host can only be set, and only in a request")
	}
	return nil
}
