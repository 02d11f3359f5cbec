package demo

import "strings"

// peers are the two ends of a connection, as the server's sidecar tells its app in
// X-Forwarded-Client-Cert: By is the server's own identity, URI the client's, Hash
// that of the client's certificate.
type peers struct{ By, URI, Hash string }

// parsePeers reads the last element of the header (the nearest hop). A plaintext
// caller has none: the zero value.
func parsePeers(header string) peers {
	elements := splitOutside(header, ',')
	var p peers
	for _, pair := range splitOutside(elements[len(elements)-1], ';') {
		key, value, _ := strings.Cut(pair, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "by":
			p.By = value
		case "uri":
			p.URI = value
		case "hash":
			p.Hash = value
		}
	}
	return p
}

// splitOutside splits at a separator that is not between quotes. It returns one
// part at least.
func splitOutside(s string, separator byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := range len(s) {
		switch {
		case s[i] == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// short leaves out of a SPIFFE ID what all identities of one mesh share:
// "shop/web" for spiffe://cluster.local/ns/shop/sa/web.
func short(id string) string {
	_, path, ok := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/ns/")
	namespace, account, found := strings.Cut(path, "/sa/")
	if !ok || !found {
		return id
	}
	return namespace + "/" + account
}
