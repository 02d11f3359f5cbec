package mesh_test

import (
	"testing"
	"time"

	"github.com/fairlead/fairlead/test/mesh/meshtest"
)

func TestZZ(t *testing.T) {
	m, client, server, _ := protocolMesh(t)
	address := m.Service("shop", "server")
	server.ServeTCP(7000, meshtest.EchoTCP("got: "))
	for _, x := range []struct{name, text string}{
		{"warm", "\x00\x00"},
		{"ldap bind dn", "0\x2b\x02\x01\x01\x60\x26\x02\x01\x03\x04\x1ccn=admin,dc=example,dc=org\x80\x06secret"},
		{"ldap anon", "0\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"},
		{"ldap starttls", "0\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"},
		{"ldap search", "0\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00"},
		{"hdfs", "hrpc\x09\x00\x00\x00\x00\x00\x1e\x1e\x08\x02\x10\x00\x18"},
		{"hdfs sasl", "hrpc\x09\x00\xdf\x00\x00\x00\x21"},
		{"jdwp", "JDWP-Handshake"},
		{"nsq", "  V2IDENTIFY\n\x00\x00"}, {"nsq1", "  V2"},
		{"bolt", "\x60\x60\xb0\x17\x00\x00\x00\x04"},
		{"hazelcast", "CB2\x10\x00\x00"}, {"hz", "CB2"},
		{"tds", "\x12\x01\x00\x2f\x00\x00\x01\x00"},
		{"xmpp", "<?xml version='1.0'?><stream:stream to='a'>"},
		{"syslog octets", "80 <34>1 2003-10-11T22:14:15.003Z host app - - msg"},
		{"es", "ES\x00\x00\x00"}, {"hl7", "\x0bMSH|^~\\&|A\r"}, {"iscsi", "C\x87\x00\x00"}, {"zeromq", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"}, {"ignite", "\x08\x00\x00\x00\x01"},
		{"ctl", "a\x01b"}, {"ctl2", "a\x01b\x00"}, {"sp nul", "a b\x00"}, {"tab nul", "a\tb\x00"}, {"nul", "ab\x00"}, {"first ctl", "\x01ab"},{"bin", "\x90ab"},{"abin", "ab\x90"},
	} {
		start := time.Now()
		_, err := client.TalkTCP(meshtest.At(address, 7000), x.text)
		{d := time.Since(start)
		t.Logf("%s: %v %s", x.name, err, d)
		}
	}
}
