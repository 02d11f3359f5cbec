package manifests

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead/fairlead/mesh"
)

// file is what one file says.
type file struct {
	// entries by namespace; a Namespace stands under its own name.
	entries  map[string][]entry
	problems []Problem
	skipped  []skip
}

// entry is one object that was read without a problem. Exactly one of the values
// is set.
type entry struct {
	kind string
	name mesh.Name
	at   place

	service   *service
	pod       *pod
	slices    []*mesh.Slice // of an EndpointSlice, or of Endpoints
	namespace *mesh.Namespace
	account   *mesh.ServiceAccount
	route     *mesh.Route
}

// objectID is what may stand only once.
type objectID struct {
	kind string
	name mesh.Name
}

func (e *entry) id() objectID { return objectID{e.kind, e.name} }

func (f *file) each(do func(entry)) {
	for _, list := range f.entries {
		for _, e := range list {
			do(e)
		}
	}
}

// service is a Service, and what is needed to give it addresses.
type service struct {
	*mesh.Service
	// wants says that an API server would give it cluster IPs.
	wants    bool
	families []corev1.IPFamily
	policy   corev1.IPFamilyPolicy
}

// pod is a pod or the stand-in for those of a template.
type pod struct {
	*mesh.Pod
	// none says that the workload runs no pods (replicas: 0), or that another object
	// of the folder made it: a ReplicaSet of a Deployment.
	none, owned bool
	// needs says that nothing but an address is missing: it has not finished.
	needs bool
}

// skip is an object that the mesh has no use for.
type skip struct {
	apiVersion, kind string
	at               place
}

// source reads files into objects. Safe for concurrent use.
type source struct {
	options Options // with defaults
	kinds   []kind
	schemas schemas
}

func newSource(o Options) *source { return &source{options: o.WithDefaults(), kinds: kinds()} }

// load reads the file at path; name is what it is called in problems.
func (s *source) load(path, name string) *file {
	data, err := readBounded(path, s.options.MaxFileSize)
	if err != nil {
		return &file{problems: []Problem{unreadable(name, err)}}
	}
	return s.parse(name, data)
}

var errTooLarge = errors.New("too large")

func readBounded(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, max)
}

func readAll(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%w: more than %d bytes", errTooLarge, max)
	}
	return data, err
}

func unreadable(name string, err error) Problem {
	p := Problem{Code: CodeUnreadable, File: name, Message: "cannot be read: " + withoutPath(err)}
	switch {
	case errors.Is(err, errTooLarge):
		p.Code, p.Fix = CodeTooMuch, "split it into several files"
	case errors.Is(err, os.ErrPermission):
		p.Fix = "let this user read it"
	}
	return p
}

func withoutPath(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// parse reads the text of a file.
func (s *source) parse(name string, data []byte) *file {
	p := &parser{source: s, name: name, file: &file{entries: map[string][]entry{}}}
	docs, bad, tooMany := documents(data, s.options.MaxDocuments)
	for _, e := range bad {
		fix := "mend the YAML; nothing is read from this document"
		if strings.Contains(string(data), "{{") {
			fix = "this looks like a template: render it first (helm template)"
		}
		p.problem(Problem{Code: CodeSyntax, Line: e.line, Message: e.text, Fix: fix})
	}
	if tooMany {
		p.tooMany()
		return p.file
	}
	for _, d := range docs {
		p.document(d)
	}
	return p.file
}

// parser reads the documents of one file, one after the other.
type parser struct {
	*source
	name    string
	file    *file
	objects int
	// decoder of the present document: what it reads through aliases counts together.
	decoder *decoder
}

// maxProblems bounds the problems of one file.
const maxProblems = 500

func (p *parser) problem(x Problem) {
	x.File = p.name
	switch n := len(p.file.problems); {
	case n < maxProblems:
		p.file.problems = append(p.file.problems, x)
	case n == maxProblems:
		p.file.problems = append(p.file.problems, Problem{
			Code: CodeTooMuch, File: p.name, Line: x.Line, Message: "has more problems than these",
		})
	}
}

func (p *parser) tooMany() {
	p.problem(Problem{
		Code:    CodeTooMuch,
		Message: fmt.Sprintf("holds more than %d objects", p.options.MaxDocuments),
		Fix:     "split it into several files",
	})
}

func (p *parser) document(d document) {
	p.decoder = &decoder{schemas: &p.schemas, offset: d.line}
	p.object(d.root, "", "", 0)
}

// maxLists bounds how deep lists may stand in lists.
const maxLists = 4

// object reads one object. apiVersion and kind are those that the items of a typed
// list (ServiceList) have by default.
func (p *parser) object(n *yaml.Node, apiVersion, kind string, lists int) {
	if n.Kind == yaml.AliasNode {
		p.decoder.inside++
		defer func() { p.decoder.inside-- }()
	}
	if p.objects++; p.objects > p.options.MaxDocuments {
		if p.objects == p.options.MaxDocuments+1 {
			p.tooMany()
		}
		return
	}
	n = target(n)
	line := p.decoder.offset + n.Line
	if n.Kind != yaml.MappingNode {
		p.problem(Problem{
			Code: CodeNoKind, Line: line, Message: "the document is " + describe(n) + ", want an object",
			Fix: "start it with apiVersion and kind",
		})
		return
	}
	if s := text(n, "apiVersion"); s != "" {
		apiVersion = s
	}
	if s := text(n, "kind"); s != "" {
		kind = s
	}
	if items := child(n, "items"); items != nil && strings.HasSuffix(kind, "List") && lists < maxLists {
		p.list(items, apiVersion, strings.TrimSuffix(kind, "List"), lists+1)
		return
	}
	k, verdict := p.lookup(apiVersion, kind)
	switch verdict {
	case known:
		k.read(&object{parser: p, node: n, kind: k.kind, at: place{p.name, line}})
		return
	case wrongVersion:
		p.problem(Problem{
			Code: CodeVersion, Line: line, Kind: kind, Name: p.nameOf(n), Field: "apiVersion",
			Message: fmt.Sprintf("%q is not a version of %s that is served", short(apiVersion), kind),
			Fix:     "write it as " + k.apiVersion(),
		})
		return
	}
	if (apiVersion == "") != (kind == "") && child(n, "metadata") != nil {
		p.problem(Problem{
			Code: CodeNoKind, Line: line, Kind: kind, Name: p.nameOf(n),
			Message: "apiVersion or kind is missing", Fix: "every object needs both",
		})
		return
	}
	if kind == "" {
		apiVersion = ""
	}
	p.file.skipped = append(p.file.skipped, skip{short(apiVersion), short(kind), place{p.name, line}})
}

func (p *parser) list(items *yaml.Node, apiVersion, kind string, lists int) {
	items = target(items)
	if items.Kind != yaml.SequenceNode {
		p.problem(Problem{
			Code: CodeWrongType, Line: p.decoder.offset + items.Line, Kind: kind + "List", Field: "items",
			Message: "is " + describe(items) + ", want a list",
		})
		return
	}
	if kind == "" { // a plain List: its items say what they are
		apiVersion = ""
	}
	for _, item := range items.Content {
		p.object(item, apiVersion, kind, lists)
	}
}

// nameOf reads metadata without its type, for a message.
func (p *parser) nameOf(n *yaml.Node) mesh.Name {
	m := child(n, "metadata")
	if m == nil {
		return mesh.Name{}
	}
	namespace := text(m, "namespace")
	if namespace == "" {
		namespace = p.options.Namespace
	}
	return mesh.Name{Namespace: short(namespace), Name: short(text(m, "name"))}
}

// target follows aliases.
func target(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && i < maxDepth; i++ {
		n = n.Alias
	}
	return n
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	n = target(n)
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return target(n.Content[i+1])
		}
	}
	return nil
}

// text returns the text of a key of a mapping, or "".
func text(n *yaml.Node, key string) string {
	if c := child(n, key); c != nil && c.Kind == yaml.ScalarNode && tagOf(c) == "!!str" {
		return c.Value
	}
	return ""
}
