package report

import "strings"

// Style colours text for a terminal; the zero Style leaves it as it is.
type Style struct{ colour bool }

// NewStyle returns a style with colours or without.
func NewStyle(colour bool) Style { return Style{colour} }

func (s Style) sgr(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold, Dim, Green and Red wrap the text.
func (s Style) Bold(text string) string  { return s.sgr("1", text) }
func (s Style) Dim(text string) string   { return s.sgr("2", text) }
func (s Style) Green(text string) string { return s.sgr("32", text) }
func (s Style) Red(text string) string   { return s.sgr("31", text) }
func (s Style) Cyan(text string) string  { return s.sgr("36", text) }

// Bar is a bar of that many cells, of which the share (0 to 1) is filled.
func Bar(share float64, cells int) string {
	full := min(max(int(share*float64(cells)+0.5), 0), cells)
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}

// fit cuts text, which holds no escape codes, to a number of cells.
func fit(text string, cells int) string {
	r := []rune(text)
	if len(r) <= cells || cells <= 0 {
		return text
	}
	return string(r[:max(cells-1, 0)]) + "…"
}
