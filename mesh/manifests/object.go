package manifests

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead/fairlead/mesh"
)

// object is one object while it is read.
type object struct {
	*parser
	node *yaml.Node
	kind string
	at   place
	name mesh.Name
	bad  bool // a problem was found: the object does not count
}

// decodeInto decodes the object strictly and checks its metadata. False means that
// it does not count.
func decodeInto(o *object, to metav1.Object) bool {
	o.name = o.nameOf(o.node)
	if o.kind == "Namespace" {
		o.name.Namespace = ""
	}
	d := o.decoder
	d.reports, d.stopped = 0, d.aliased > maxAliased
	d.report = func(n *yaml.Node, code Code, path, message, fix string) {
		o.report(d.offset+n.Line, code, path, message, fix)
	}
	decodeValue(d, o.node, to)
	if d.stopped {
		o.bad = true
	}
	o.checkMeta(to)
	return !o.bad
}

func (o *object) report(line int, code Code, path, message, fix string) {
	o.bad = true
	o.problem(Problem{Code: code, Line: line, Kind: o.kind, Name: o.name, Field: path, Message: message, Fix: fix})
}

// invalid reports a value that the API server would refuse. path is a field path;
// the line is that of its last part which is there.
func (o *object) invalid(path, message, fix string) {
	o.report(o.lineOf(path), CodeInvalid, path, message, fix)
}

// lineOf finds the line of a field path such as spec.ports[0].port.
func (o *object) lineOf(path string) int {
	n := o.node
	line := n.Line
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		n = target(n)
		var next *yaml.Node
		if i, err := strconv.Atoi(part); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
		} else {
			next = child(n, part)
		}
		if next == nil {
			break
		}
		n, line = next, next.Line
	}
	return o.decoder.offset + line
}

// checkMeta checks name and namespace, which end up in the names of everything
// that is made from the object, and fills in the default namespace.
func (o *object) checkMeta(m metav1.Object) {
	switch name := m.GetName(); {
	case name == "" && m.GetGenerateName() != "":
		o.report(o.lineOf("metadata.generateName"), CodeName, "metadata.generateName",
			"a name that the API server makes up cannot be known here", "give it a metadata.name")
	case name == "" && o.bad: // it may be there, and be what was wrong
	case name == "":
		o.report(o.lineOf("metadata"), CodeName, "metadata.name", "is missing", "give the object a name")
	default:
		o.checkName("metadata.name", name, o.kind == "Namespace" || o.kind == "Service")
	}
	if o.kind == "Namespace" {
		m.SetNamespace("")
		return
	}
	if m.GetNamespace() == "" {
		m.SetNamespace(o.options.Namespace)
		return
	}
	o.checkName("metadata.namespace", m.GetNamespace(), true)
}

// checkName checks a name after RFC 1123: one label, or several with dots.
func (o *object) checkName(path, name string, label bool) {
	check, form := validation.IsDNS1123Subdomain, "small letters, digits, '-' and '.'"
	if label {
		check, form = validation.IsDNS1123Label, "small letters, digits and '-', at most 63 of them"
	}
	if len(check(name)) > 0 {
		o.report(o.lineOf(path), CodeName, path, strconv.Quote(short(name))+" is not a valid name",
			"use "+form+", beginning and ending with a letter or digit")
	}
}

// keep adds what was read to the file.
func (o *object) keep(e entry) {
	e.kind, e.name, e.at = o.kind, o.name, o.at
	namespace := e.name.Namespace
	if e.namespace != nil {
		namespace = e.name.Name
	}
	o.file.entries[namespace] = append(o.file.entries[namespace], e)
}
