package envoy

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fairlead/fairlead/mesh"
)

// Roots is the secret that accepts everybody whom the bundle (PEM) vouches for.
func Roots(bundle []byte) *tlsv3.Secret {
	return validation(SecretName{Fixed: RootsSecret}, bundle, nil)
}

// Peers is the secret that accepts these identities only. None means nobody: an
// empty list of names would accept everybody.
func Peers(name SecretName, bundle []byte, trustDomain string, accounts []mesh.Name) *tlsv3.Secret {
	accounts = slices.Clone(accounts)
	slices.SortFunc(accounts, mesh.Name.Compare)
	var ids []string
	for _, a := range slices.Compact(accounts) {
		ids = append(ids, mesh.Identity{TrustDomain: trustDomain, Account: a}.String())
	}
	if len(ids) == 0 {
		ids = []string{"spiffe://" + trustDomain + "/nobody"}
	}
	return validation(name, bundle, ids)
}

func validation(name SecretName, bundle []byte, ids []string) *tlsv3.Secret {
	c := &tlsv3.CertificateValidationContext{
		TrustedCa: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: string(bundle)}},
	}
	for _, id := range ids {
		c.MatchTypedSubjectAltNames = append(c.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI,
			Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}},
		})
	}
	return &tlsv3.Secret{
		Name: name.String(),
		Type: &tlsv3.Secret_ValidationContext{ValidationContext: c},
	}
}

// Leaf is the secret with a proxy's own certificate chain and key (PEM). It must
// never be logged or kept.
func Leaf(chain, key []byte) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: LeafSecret,
		Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: chain}},
			PrivateKey:       &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: key}},
		}},
	}
}
