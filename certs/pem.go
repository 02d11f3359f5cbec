package certs

import "encoding/base64"

const (
	certificateBlock = "CERTIFICATE"
	pkcs8Block       = "PRIVATE KEY"
	pemColumns       = 64 // RFC 7468, section 2
	pemLine          = pemColumns / 4 * 3
)

// appendPEM appends one PEM block (RFC 7468). It is what encoding/pem writes,
// without the copies in between: Issue makes two of them for every proxy.
func appendPEM(dst []byte, kind string, der []byte) []byte {
	dst = append(append(append(dst, "-----BEGIN "...), kind...), "-----\n"...)
	for len(der) > 0 {
		n := min(len(der), pemLine)
		dst = append(base64.StdEncoding.AppendEncode(dst, der[:n]), '\n')
		der = der[n:]
	}
	return append(append(append(dst, "-----END "...), kind...), "-----\n"...)
}

// pemSize is the length of what appendPEM appends.
func pemSize(kind string, der int) int {
	lines := (der + pemLine - 1) / pemLine
	return len("-----BEGIN -----\n-----END -----\n") + 2*len(kind) + base64.StdEncoding.EncodedLen(der) + lines
}
