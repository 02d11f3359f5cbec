package convert

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead/fairlead/mesh"
)

// Protocol says what a Service port speaks: by appProtocol (KEP-3726, GEP-1911)
// if it has one, else by the first word of the port's name ("grpc-api"), which is
// what most meshes and charts agree on. A word that is not known says nothing:
// then the first bytes of each connection decide.
func Protocol(p corev1.ServicePort) mesh.Protocol {
	if p.Protocol == corev1.ProtocolUDP || p.Protocol == corev1.ProtocolSCTP {
		return mesh.ProtocolUDP
	}
	if p.AppProtocol != nil && *p.AppProtocol != "" {
		word := strings.ToLower(*p.AppProtocol)
		return protocolOf(strings.TrimPrefix(word, "kubernetes.io/"))
	}
	word := strings.ToLower(p.Name)
	if strings.HasPrefix(word, "grpc-web") {
		return mesh.ProtocolHTTP
	}
	word, _, _ = strings.Cut(word, "-")
	return protocolOf(word)
}

// protocolOf knows the words of KEP-3726 and GEP-1911, and IANA service names of
// what runs in clusters and is plain TCP to a proxy.
func protocolOf(word string) mesh.Protocol {
	switch word {
	case "http", "http1", "http/1.1", "ws", "websocket", "grpc-web":
		return mesh.ProtocolHTTP
	case "http2", "h2c", "h2":
		return mesh.ProtocolHTTP2
	case "grpc":
		return mesh.ProtocolGRPC
	case "https", "tls", "wss", "ssl", "grpcs", "ldaps", "smtps", "imaps", "amqps":
		return mesh.ProtocolTLS
	case "tcp", "mysql", "mariadb", "postgres", "postgresql", "mssql", "redis", "mongo",
		"mongodb", "cassandra", "memcached", "kafka", "amqp", "nats", "mqtt", "zookeeper",
		"smtp", "imap", "pop3", "ftp", "ssh", "ldap":
		return mesh.ProtocolTCP
	}
	return mesh.ProtocolUnspecified
}
