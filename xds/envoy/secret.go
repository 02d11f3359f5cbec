package envoy

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fairlead/fairlead/mesh"
)

// Roots is the secret that accepts every workload of the trust domain, and
// nobody else whom the roots (PEM) vouch for: a user's own root may have signed
// other things than the mesh.
func Roots(bundle []byte, trustDomain string) *tlsv3.Secret {
	return validation(SecretName{Fixed: RootsSecret}, bundle, []*matcherv3.StringMatcher{
		{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + trustDomain + "/ns/"}},
	})
}

// Peers is the secret that accepts these identities only. None means nobody: an
// empty list of names would accept everybody.
func Peers(name SecretName, bundle []byte, trustDomain string, accounts []mesh.Name) *tlsv3.Secret {
	accounts = slices.Clone(accounts)
	slices.SortFunc(accounts, mesh.Name.Compare)
	var ids []*matcherv3.StringMatcher
	for _, a := range slices.Compact(accounts) {
		ids = append(ids, exactly(mesh.Identity{TrustDomain: trustDomain, Account: a}.String()))
	}
	if len(ids) == 0 {
		ids = append(ids, exactly("spiffe://"+trustDomain+"/nobody"))
	}
	return validation(name, bundle, ids)
}

func exactly(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

func validation(name SecretName, bundle []byte, ids []*matcherv3.StringMatcher) *tlsv3.Secret {
	c := &tlsv3.CertificateValidationContext{
		TrustedCa: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: string(bundle)}},
	}
	for _, id := range ids {
		c.MatchTypedSubjectAltNames = append(c.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI,
			Matcher: id,
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
