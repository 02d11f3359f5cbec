package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// serviceFinding makes a Finding on a Service.
func serviceFinding(s *mesh.Service, code, field, fix, format string, args ...any) Finding {
	return Finding{
		Code: code, Severity: severityOf(code), Kind: "Service", Object: s.Name,
		Field: field, Message: fmt.Sprintf(format, args...), Fix: fix, Source: s.Source,
	}
}

// lintPorts returns what is doubtful about a Service's ports.
func lintPorts(settings *mesh.Settings, s *mesh.Service) []Finding {
	if s.ExternalName != "" {
		return nil
	}
	var fs []Finding
	for i, p := range s.Ports {
		if p.Protocol == mesh.ProtocolUDP {
			continue
		}
		field := fmt.Sprintf("spec.ports[%d]", i)
		number := calledPort(s, &p)
		if word := serverFirstWord(&p); word != "" && number != 0 && !settings.ServerFirst(number) {
			fs = append(fs, serviceFinding(s, codeServerFirst, field+".port",
				fmt.Sprintf("add %d to the mesh's server-first ports", number),
				"port %d is %s by its name, where the server speaks first, and is not in the list of such ports: each connection waits 1 s", number, word))
		}
		if says := contradiction(&p); says != "" {
			fs = append(fs, serviceFinding(s, codeProtocolContradicts, field+".appProtocol", "correct one of them", "%s; appProtocol counts", says))
		}
	}
	return fs
}

// calledPort is the number that callers connect to: a headless Service is called
// by its pods' addresses and so by their ports. 0 if that is not known here.
func calledPort(s *mesh.Service, p *mesh.Port) uint16 {
	if !s.Headless || p.TargetPort == "" {
		return p.Number
	}
	n, err := strconv.ParseUint(p.TargetPort, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// serverFirstWords are the names of protocols in which the server speaks first, as
// they stand in names of ports and in appProtocol.
var serverFirstWords = []string{
	"ftp", "ssh", "sftp", "telnet", "smtp", "submission", "lmtp", "pop3", "imap", "nntp",
	"mysql", "mariadb", "proxysql", "tidb", "nats", "leafnodes", "vnc", "rfb", "rsync", "svn", "mpd", "sieve",
}

// clientFirstWords tell that a port named after such a protocol is only about it:
// "mysql-exporter", "nats-monitor".
var clientFirstWords = []string{
	"http", "https", "http2", "grpc", "tls", "metrics", "exporter", "monitor", "monitoring",
	"prometheus", "prom", "web", "websocket", "ws", "admin", "ui", "api", "health",
}

// serverFirstWord returns the protocol by whose name the server speaks first on
// that port, "" if there is none. appProtocol goes before the name.
func serverFirstWord(p *mesh.Port) string {
	name := strings.ToLower(p.AppProtocol)
	if name == "" || name == "tcp" {
		name = strings.ToLower(p.Name)
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' || r == '/' })
	found := ""
	for _, w := range words {
		if slices.Contains(clientFirstWords, w) {
			return ""
		}
		if slices.Contains(serverFirstWords, w) {
			found = w
		}
	}
	return found
}

// contradiction says how name and appProtocol of a port disagree on HTTP.
func contradiction(p *mesh.Port) string {
	if p.AppProtocol == "" || p.Name == "" {
		return ""
	}
	name, _, _ := strings.Cut(strings.ToLower(p.Name), "-")
	isHTTP := p.Protocol == mesh.ProtocolHTTP || p.Protocol == mesh.ProtocolHTTP2 || p.Protocol == mesh.ProtocolGRPC
	switch name {
	case "http", "http2", "grpc":
		if p.Protocol == mesh.ProtocolTCP || p.Protocol == mesh.ProtocolTLS {
			return fmt.Sprintf("port %d is named %q and its appProtocol is %q", p.Number, p.Name, p.AppProtocol)
		}
	case "tcp", "tls", "https":
		if isHTTP {
			return fmt.Sprintf("port %d is named %q and its appProtocol is %q", p.Number, p.Name, p.AppProtocol)
		}
	}
	return ""
}

// podsByNamespace groups the pods that may serve: those that end are no matter.
func podsByNamespace(pods []*mesh.Pod) map[string][]*mesh.Pod {
	byNamespace := map[string][]*mesh.Pod{}
	for _, p := range pods {
		if !p.Terminating {
			byNamespace[p.Name.Namespace] = append(byNamespace[p.Name.Namespace], p)
		}
	}
	return byNamespace
}

// lintSelector returns what is doubtful about the pods that a Service selects.
func lintSelector(s *mesh.Service, pods []*mesh.Pod) []Finding {
	if len(s.Selector) == 0 || s.ExternalName != "" {
		return nil
	}
	selected := 0
	var plain []string
	for _, p := range pods {
		if !selects(s.Selector, p.Labels) {
			continue
		}
		selected++
		if !p.Meshed {
			plain = append(plain, p.Workload.String())
		}
	}
	slices.Sort(plain)
	switch workloads := slices.Compact(slices.Clone(plain)); {
	case selected == 0:
		return []Finding{serviceFinding(s, codeSelectsNothing, "spec.selector", "correct the selector, or the labels of the pods", "no pod and no workload in namespace %s has these labels", s.Name.Namespace)}
	case len(plain) > 0:
		return []Finding{serviceFinding(s, codeNoSidecar, "spec.selector", "have them injected",
			"%d of %d selected pods or workloads have no sidecar (%s): calls to them are plaintext", len(plain), selected, firstFew(workloads))}
	}
	return nil
}

// lintEndpoints returns which endpoints of a Service nobody is sent to, because
// the pods that its slices name are not there.
func lintEndpoints(s *mesh.Service, e *mesh.Endpoints) []Finding {
	if e == nil {
		return nil
	}
	var unknown []string
	for i := range e.List {
		if x := &e.List[i]; x.Unknown {
			unknown = append(unknown, fmt.Sprintf("pod %s at %s", x.TargetPod, x.Address))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return []Finding{serviceFinding(s, codeEndpointUnknown, "endpoints", "add the pods, or correct targetRef or address in the EndpointSlice",
		"%d of %d endpoints are left out: not there is %s", len(unknown), len(e.List), firstFew(unknown))}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// firstFew lists a few names for a message.
func firstFew(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
