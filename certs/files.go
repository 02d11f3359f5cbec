package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxFile bounds what is read of a file.
const maxFile = 1 << 20

// Files name a CA on disk. The same file may be named for several: of each, only
// the PEM blocks of its sort are read.
type Files struct {
	// Chain is the certificate that signs, then its intermediates.
	Chain string
	// Key is the private key of the first certificate of Chain: PKCS #8, SEC 1 or
	// PKCS #1; ECDSA P-256 or P-384, or RSA of 2048 bits and more.
	Key string
	// Roots is the trust bundle. If "", the certificate that signs is the root.
	Roots string
}

// SecretFiles names the files of a kubernetes.io/tls Secret of a CA, as cert-manager
// writes it, that is mounted at dir.
func SecretFiles(dir string) Files {
	return Files{Chain: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), Roots: filepath.Join(dir, "ca.crt")}
}

// OwnFiles names the files that LoadOrCreate keeps in dir: key and certificate in
// ca.pem, the trust bundle in root.pem, both mode 0600.
func OwnFiles(dir string) Files {
	ca := filepath.Join(dir, "ca.pem")
	return Files{Chain: ca, Key: ca, Roots: filepath.Join(dir, "root.pem")}
}

func (f Files) paths() []string { return []string{f.Chain, f.Key, f.rootsPath()} }

func (f Files) rootsPath() string {
	if f.Roots == "" {
		return f.Chain
	}
	return f.Roots
}

// digest tells one content of the files from another.
type digest [sha256.Size]byte

// read reads the files and says what their content was, also if it is no CA.
func (f Files) read() (material, digest, error) {
	var content [3][]byte
	h := sha256.New()
	for i, path := range f.paths() {
		b, err := readFile(path)
		if err != nil {
			return material{}, digest{}, err
		}
		content[i] = b
		_, _ = fmt.Fprintf(h, "%d:%s", len(b), b) // a hash takes everything
	}
	sum := digest(h.Sum(nil))
	m, err := f.parse(content[0], content[1], content[2])
	return m, sum, err
}

func (f Files) parse(chain, key, roots []byte) (material, error) {
	m := material{chainName: f.Chain, keyName: f.Key, rootsName: f.rootsPath()}
	var err error
	if m.chain, err = parseCertificates(f.Chain, chain); err != nil {
		return material{}, err
	}
	if m.key, err = parseKey(f.Key, key); err != nil {
		return material{}, err
	}
	if f.Roots == "" {
		m.roots = NewBundle(m.chain[0])
		if !selfIssued(m.chain[0]) {
			return material{}, fmt.Errorf("%s: certificate %s is no root; name the file with its root as well", f.Chain, describe(m.chain[0]))
		}
		return m, nil
	}
	m.roots, err = ParseBundle(f.Roots, roots)
	return m, err
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("file of the CA: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("file of the CA: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes; is it the right file?", path, maxFile)
	}
	return b, nil
}

// parseKey reads the one private key of a PEM file. Errors of the decoders are not
// passed on: they might quote what they read.
func parseKey(name string, pemBytes []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(pemBytes); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case pkcs8Block:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("%s: the private key is encrypted; decrypt it, for instance with openssl pkey", name)
		default:
			continue
		}
		if err == nil && block.Headers["DEK-Info"] != "" {
			err = errors.New("encrypted")
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, fmt.Errorf("%s: the private key cannot be read; give an unencrypted PKCS #8, SEC 1 or PKCS #1 key in PEM", name)
		}
		if err := checkKeyType(signer.Public()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return signer, nil
	}
	return nil, fmt.Errorf("%s: no private key in it; it must hold a PEM block of the type PRIVATE KEY", name)
}

// checkKeyType accepts what every Envoy verifies without being configured for it.
func checkKeyType(public crypto.PublicKey) error {
	const wayOut = "give an ECDSA key on P-256 (or P-384), or RSA of at least 2048 bits"
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("its key is on curve %s; %s", k.Curve.Params().Name, wayOut)
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return nil
		}
		return fmt.Errorf("its key is RSA of %d bits; %s", k.N.BitLen(), wayOut)
	}
	return fmt.Errorf("its key is of the type %T; %s", public, wayOut)
}
