package policy

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// compileMatches reads the matches of a rule; none means one that fits everything.
//
// A condition that cannot be understood is left out of its Match and keeps its
// rank. The rule is invalid then, so that everything which the match might have
// meant gets a 500, and nothing of it falls through to a wider rule.
func compileMatches(r *mesh.Route, spec *ruleSpec) ([]compiledMatch, problems) {
	var matches []compiledMatch
	var ps problems
	for i := range spec.httpMatches {
		match, more := compileHTTPMatch(&spec.httpMatches[i])
		matches = append(matches, match)
		ps = append(ps, more.inItem("matches", i)...)
	}
	for i := range spec.grpcMatches {
		match, more := compileGRPCMatch(&spec.grpcMatches[i])
		matches = append(matches, match)
		ps = append(ps, more.inItem("matches", i)...)
	}
	if len(matches) > 0 {
		return matches, ps
	}
	if r.GRPC != nil {
		return []compiledMatch{{Match: Match{GRPC: true}}}, nil
	}
	return []compiledMatch{{Match: Match{Path: &StringMatch{Kind: PathPrefix, Value: "/"}}, rank: rank{classPrefix, 1}}}, nil
}

// headerName is the token of RFC 9110, section 5.6.2, as the API writes it.
var headerName = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$`)

// namedSpec is a header or query match of either type of route.
type namedSpec struct {
	kind, name, value string
}

// compileNamed reads a list of header or query matches. Of several for one name
// the first counts (HTTPHeaderMatch.name); count is that of the names, whether
// their conditions are understood or not.
func compileNamed(field string, specs []namedSpec, foldCase bool) (matches []NamedMatch, count int, ps problems) {
	seen := make(map[string]bool, len(specs))
	for i, s := range specs {
		name := s.name
		if foldCase {
			name = strings.ToLower(name)
		}
		if seen[name] {
			ps = append(ps, warn(codeNameRepeated, "name", "remove it", "%q is in the list already: only the first counts", s.name).inItem(field, i)...)
			continue
		}
		seen[name] = true
		count++
		value, more := compileNamedValue(s)
		if len(more) > 0 {
			ps = append(ps, more.inItem(field, i)...)
			continue
		}
		matches = append(matches, NamedMatch{Name: name, StringMatch: value})
	}
	return matches, count, ps
}

func compileNamedValue(s namedSpec) (StringMatch, problems) {
	var ps problems
	if !headerName.MatchString(s.name) {
		ps = append(ps, refuse(codeNamedMatch, "name", "", "%q is not a valid name", s.name)...)
	}
	if s.value == "" {
		ps = append(ps, refuse(codeNamedMatch, "value", "", "the value is empty")...)
	}
	match := StringMatch{Value: s.value}
	switch s.kind {
	case "", "Exact":
		match.Kind = Exact
		if !headerValue(s.value) {
			ps = append(ps, refuse(codeNamedMatch, "value", "remove line breaks and control characters", "no header can have the value %q", s.value)...)
		}
	case "RegularExpression":
		match.Kind = Regex
		ps = append(ps, checkRegex("value", s.value)...)
	default:
		ps = append(ps, refuse(codeMatchType, "type", "use Exact or RegularExpression", "%q is not known", s.kind)...)
	}
	return match, ps
}

// headerValue reports whether a header can have that value (RFC 9110, section 5.5).
func headerValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// checkRegex checks a regular expression. Go's syntax is RE2's but for \C, which
// Go refuses.
func checkRegex(field, pattern string) problems {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return refuse(codeRegex, field, "write it in the syntax of RE2", "%q is not a regular expression (%v)", pattern, err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || regexSize(program) > maxRegexSize {
		return refuse(codeRegex, field, "repeat less, or match a narrower class of characters",
			"%q is too big once its repetitions are written out", pattern)
	}
	return nil
}

// maxRegexSize bounds a regular expression so far below RE2's own bound (8 MiB of
// memory) that the two ways of counting do not matter.
const maxRegexSize = 20_000

// regexSize counts the instructions of a program, and for each class of
// characters its ranges, which RE2 compiles byte by byte.
func regexSize(p *syntax.Prog) int {
	size := len(p.Inst)
	for i := range p.Inst {
		size += 2 * len(p.Inst[i].Rune)
	}
	return size
}

// text returns what a pointer to a kind of string points to.
func text[S ~string](s *S) string {
	if s == nil {
		return ""
	}
	return string(*s)
}
