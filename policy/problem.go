package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/mesh"
)

// effect is what a problem does to the route.
type effect uint8

const (
	// warns: the route works as if it did not have the field.
	warns effect = iota
	// refuses: the rule is invalid, requests that match it get a 500.
	refuses
	// unresolved: a reference leads nowhere, its share of the requests gets a 500.
	unresolved
)

// problem is a Finding in the making: its field is relative to where it was found.
type problem struct {
	code    string
	effect  effect
	reason  string // of the condition that it makes false
	field   string
	message string
	fix     string
}

// problems grow from the inside out: each level puts its own field in front.
type problems []problem

// refuse makes a problem that invalidates its rule.
func refuse(code, field, fix, format string, args ...any) problems {
	return problems{{code: code, effect: refuses, reason: ReasonUnsupportedValue, field: field, fix: fix, message: fmt.Sprintf(format, args...)}}
}

// incompatible is refuse for filters that cannot stand together.
func incompatible(field, fix, format string, args ...any) problems {
	return problems{{code: codeFiltersIncompatible, effect: refuses, reason: ReasonIncompatibleFilters, field: field, fix: fix, message: fmt.Sprintf(format, args...)}}
}

// dangling makes a problem of a reference that leads nowhere.
func dangling(code, reason, field, fix, format string, args ...any) problems {
	return problems{{code: code, effect: unresolved, reason: reason, field: field, fix: fix, message: fmt.Sprintf(format, args...)}}
}

// warn makes a problem that refuses nothing.
func warn(code, field, fix, format string, args ...any) problems {
	return problems{{code: code, effect: warns, field: field, fix: fix, message: fmt.Sprintf(format, args...)}}
}

// in puts the problems into the field of that name.
func (ps problems) in(name string) problems {
	for i := range ps {
		switch {
		case ps[i].field == "":
			ps[i].field = name
		case ps[i].field[0] == '[':
			ps[i].field = name + ps[i].field
		default:
			ps[i].field = name + "." + ps[i].field
		}
	}
	return ps
}

// inItem puts the problems into one item of the list of that name.
func (ps problems) inItem(name string, index int) problems {
	if len(ps) == 0 {
		return nil
	}
	return ps.in(name + "[" + strconv.Itoa(index) + "]")
}

// only returns those with that effect.
func (ps problems) only(e effect) problems {
	var some problems
	for _, p := range ps {
		if p.effect == e {
			some = append(some, p)
		}
	}
	return some
}

// refused returns the first problem that invalidates the rule, in words.
func (ps problems) refused() string {
	for _, p := range ps {
		if p.effect == refuses {
			return p.field + ": " + p.message
		}
	}
	return ""
}

// findings makes Findings of problems of one route.
func (ps problems) findings(r *mesh.Route) []Finding {
	var fs []Finding
	for _, p := range ps {
		fs = append(fs, Finding{
			Code: p.code, Severity: severityOf(p.code), Kind: r.Kind(), Object: r.Name(),
			Field: p.field, Message: p.message, Fix: p.fix, Source: r.Source,
		})
	}
	return fs
}

// maxDescribed bounds how many findings a condition's message tells: the API
// server takes 32 KiB, a person takes less.
const maxDescribed = 8

// describe writes findings of one object into the message of a condition.
func describe(fs []Finding) string {
	var parts []string
	for i, f := range fs {
		if i == maxDescribed {
			parts = append(parts, fmt.Sprintf("and %d more", len(fs)-i))
			break
		}
		text := f.Message
		if f.Field != "" {
			text = f.Field + ": " + text
		}
		if f.Fix != "" {
			text += "; " + f.Fix
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ". ")
}

// sortFindings orders findings for a reader: by object, then as they stand in it
// (indices by number), then by code. Equal ones become one.
func sortFindings(fs []Finding) []Finding {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Object.Namespace, b.Object.Namespace),
			cmp.Compare(a.Object.Name, b.Object.Name),
			cmp.Compare(a.Kind, b.Kind),
			compareFields(a.Field, b.Field),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(fs)
}

// compareFields compares two field paths; digits compare as numbers.
func compareFields(a, b string) int {
	for a != "" && b != "" {
		na, resta := leadingNumber(a)
		nb, restb := leadingNumber(b)
		if na >= 0 && nb >= 0 {
			if na != nb {
				return cmp.Compare(na, nb)
			}
			a, b = resta, restb
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func leadingNumber(s string) (int, string) {
	n, i := -1, 0
	for ; i < len(s) && i < 9 && s[i] >= '0' && s[i] <= '9'; i++ {
		n = max(n, 0)*10 + int(s[i]-'0')
	}
	return n, s[i:]
}
