package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// The protocols that a sidecar offers to another (ALPN). They are labels that
// pick the server's filter chain: what is inside, the server's codec finds out.
const (
	alpnHTTP = "mesh"
	alpnTCP  = "mesh-tcp"
)

// upstreamTLS is mutual TLS towards another sidecar. Who may answer is in the
// validation context, a secret of its own: a new account rebuilds no cluster.
func upstreamTLS(alpn string, peers SecretName) *corev3.TransportSocket {
	common := commonTLS(peers, clusterOverADS())
	common.AlpnProtocols = []string{alpn}
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&tlsv3.UpstreamTlsContext{
			CommonTlsContext: common,
			// A resumed session skips the check of the peer's certificate. Connections
			// live long, so whole handshakes cost little.
			MaxSessionKeys: number(0),
		})},
	}
}

// downstreamTLS is the server's side: the client must prove who it is.
func downstreamTLS() *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&tlsv3.DownstreamTlsContext{
			// No alpn_protocols: with the mesh's own among them, Envoy's codec would not
			// look for HTTP/2.
			CommonTlsContext:                 commonTLS(SecretName{Fixed: RootsSecret}, overADS()),
			RequireClientCertificate:         yes(),
			DisableStatefulSessionResumption: true,
			SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		})},
	}
}

func commonTLS(validation SecretName, source *corev3.ConfigSource) *tlsv3.CommonTlsContext {
	return &tlsv3.CommonTlsContext{
		// Both ends are ours.
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: LeafSecret, SdsConfig: overADS()}},
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
			ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: validation.String(), SdsConfig: source},
		},
	}
}

// plaintext is the transport of endpoints without a sidecar.
func plaintext() *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.raw_buffer",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&rawv3.RawBuffer{})},
	}
}
