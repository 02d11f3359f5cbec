package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// dump writes a result in a terse form, one value per line, for golden files. What
// is not worth a word (a ready endpoint, a pod that is ready) gets none.
func dump(r Result) string {
	var b strings.Builder
	for _, n := range r.Batch.Namespaces {
		line(&b, "namespace", n.Name, pairsOf(n.Labels))
	}
	for _, a := range r.Batch.Accounts {
		line(&b, "account", a.Name.String())
	}
	for _, s := range r.Batch.Services {
		line(&b, "service", s.Name.String(), listOf("at", s.Addresses), listOf("external", s.ExternalAddresses),
			word(s.Headless, "headless"), word(s.ExternalName != "", "name "+s.ExternalName),
			word(s.PublishNotReady, "publish-not-ready"), word(s.ClientIPAffinity, "client-ip"),
			pairsOf(s.Annotations), word(len(s.Selector) > 0, "selects "+pairsOf(s.Selector)), from(s.Source))
		for _, p := range s.Ports {
			line(&b, "  port", p.Name, fmt.Sprint(p.Number), word(p.TargetPort != "", "-> "+p.TargetPort), string(p.Protocol))
		}
	}
	for _, p := range r.Batch.Pods {
		line(&b, "pod", p.Name.String(), word(p.Template, "template"), "of "+p.Workload.String(),
			listOf("at", p.Addresses), word(p.Meshed, "meshed"), word(p.HostNetwork, "host-network"),
			word(!p.Ready, "not-ready"), word(p.Terminating, "terminating"), word(p.Node != "", "on "+p.Node),
			word(p.Zone != "", "zone "+p.Zone), word(p.ServiceAccount != "default", "account "+p.ServiceAccount),
			pairsOf(p.Annotations), pairsOf(p.Labels), from(p.Source))
		for _, c := range p.Ports {
			line(&b, "  port", c.Name, fmt.Sprint(c.Number), word(c.UDP, "UDP"))
		}
	}
	for _, s := range r.Batch.Slices {
		line(&b, "slice", s.Name.String(), "of "+s.Service.String(), portsOf(s.Ports), from(s.Source))
		for _, e := range s.Endpoints {
			line(&b, "  endpoint", e.Address.String(), word(!e.Ready, "not-ready"), word(!e.Serving, "not-serving"),
				word(e.Terminating, "terminating"), word(e.Node != "", "on "+e.Node), word(e.Zone != "", "zone "+e.Zone),
				word(!e.TargetPod.IsZero(), "of "+e.TargetPod.String()))
		}
	}
	for _, x := range r.Batch.Routes {
		line(&b, "route", x.Kind(), x.Name().String(), listOf("under", x.Parents()), pairsOf(x.Meta().Annotations), from(x.Source))
	}
	for _, p := range r.Problems {
		line(&b, "problem", p.Error())
	}
	for _, s := range r.Skipped {
		line(&b, "skipped", s.String())
	}
	return b.String()
}

func line(b *strings.Builder, words ...string) {
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	b.WriteString(strings.Join(words, " ") + "\n")
}

func word(is bool, w string) string {
	if is {
		return w
	}
	return ""
}

func from(s string) string { return "(" + s + ")" }

func listOf[T fmt.Stringer](what string, values []T) string {
	if len(values) == 0 {
		return ""
	}
	var words []string
	for _, v := range values {
		words = append(words, v.String())
	}
	return what + " " + strings.Join(words, ",")
}

func pairsOf(m map[string]string) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, k+"="+m[k])
	}
	return strings.Join(words, ",")
}

func portsOf(list []mesh.EndpointPort) string {
	var words []string
	for _, p := range list {
		words = append(words, fmt.Sprintf("%s:%d", p.Name, p.Number))
	}
	return strings.Join(words, ",")
}
