package certs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Whoever holds a leaf in whatever way, and prints it in whatever way, sees no key.
func TestKeysAreNeverPrinted(t *testing.T) {
	a := selfSigned(t, quiet())
	l := issue(t, a, web)
	key := l.PrivateKeyPEM.Reveal()
	if !bytes.Contains(key, []byte("BEGIN PRIVATE KEY")) {
		t.Fatalf("no key to look for")
	}
	type holder struct {
		Leaf   Leaf
		hidden Leaf
		p      *Leaf
		any    any
		m      map[string]Sensitive
		list   []Sensitive
		a      *Authority
	}
	h := holder{l, l, &l, l, map[string]Sensitive{"k": l.PrivateKeyPEM}, []Sensitive{l.PrivateKeyPEM}, a}
	for name, v := range map[string]any{
		"key": l.PrivateKeyPEM, "pointer to key": &l.PrivateKeyPEM, "leaf": l, "pointer to leaf": &l, "holder": h, "pointer to holder": &h,
		"authority": a, "error": fmt.Errorf("failed with %v", l),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%o", "%b", "%U", "% x", "%T"} {
			mustNotShow(t, name+" by "+verb, fmt.Sprintf(verb, v), key)
		}
		if b, err := json.Marshal(v); err == nil {
			mustNotShow(t, name+" in JSON", string(b), key)
		}
		if _, isKey := v.(Sensitive); isKey {
			b, err := yaml.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			mustNotShow(t, name+" in YAML", string(b), key)
		}
		for kind, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("x", "v", v, "in", []any{v}, slog.Group("g", "v", v))
			mustNotShow(t, name+" in a log ("+kind+")", b.String(), key)
		}
	}
	if got := fmt.Sprint(l.PrivateKeyPEM); got != redacted {
		t.Errorf("printed as %q", got)
	}
	if got := fmt.Sprintf("%+v", l); !strings.Contains(got, redacted) {
		t.Errorf("a leaf is printed without saying that it has a key: %s", got)
	}
}

// mustNotShow looks for the key as text, and as the bytes of one of its lines in
// decimal, hexadecimal and octal.
func mustNotShow(t *testing.T, what, got string, key []byte) {
	t.Helper()
	line := bytes.Split(key, []byte("\n"))[1][:16]
	for _, form := range []string{"%s", "%d", "%x", "%X", "% x", "%o", "%b", "%c", "%U", "%#v"} {
		shown := strings.Trim(fmt.Sprintf(form, line), "[]")
		shown = strings.TrimSuffix(strings.TrimPrefix(shown, "[]byte{"), "}")
		if strings.Contains(got, shown) {
			t.Errorf("%s shows the key in the form %s", what, form)
			return
		}
	}
}
