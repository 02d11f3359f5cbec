package certs

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Sensitive holds bytes that must not be printed: a private key, a token. No fmt
// verb, encoder or logger shows them, also where a Sensitive is a part of
// something else; only Reveal gives them out. The zero value holds nothing.
type Sensitive struct {
	// A closure, because fmt does not call the methods of what stands in unexported
	// fields and follows a pointer there for some verbs; of a function it has only the
	// address.
	reveal func() []byte
}

// NewSensitive takes over b: the caller must not modify it any more.
func NewSensitive(b []byte) Sensitive { return Sensitive{reveal: func() []byte { return b }} }

// Reveal returns the bytes, which the caller must not modify.
func (s Sensitive) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// IsZero reports that there is nothing in it.
func (s Sensitive) IsZero() bool { return len(s.Reveal()) == 0 }

// String says that there is something, not what.
func (s Sensitive) String() string { return redacted }

// GoString is String: for %#v.
func (s Sensitive) GoString() string { return redacted }

// Format answers every verb with the same word (fmt.Formatter).
func (s Sensitive) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue is what slog prints (slog.LogValuer).
func (s Sensitive) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the bytes out of JSON, YAML and whatever else encodes text.
func (s Sensitive) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON keeps the bytes out of JSON.
func (s Sensitive) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
