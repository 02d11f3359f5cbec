package mesh

import "slices"

// defaultServerFirstPorts are the well-known ports of protocols in which the
// server greets its client before that has said anything. Nobody looks for HTTP on
// them. So two other kinds of protocol have their place here: those whose first
// bytes may be the start of an HTTP request for all one can tell, so that they
// would wait as well; and those whose clients send and go, because a connection
// that has ended before its first bytes were looked at is dropped. A port is listed only if hardly anything else lives there: 4000 (TiDB) is
// not, since many an HTTP app has it.
var defaultServerFirstPorts = [...]uint16{
	21,   // FTP, the control connection
	22,   // SSH
	23,   // Telnet
	24,   // LMTP
	25,   // SMTP
	106,  // poppassd
	110,  // POP3
	119,  // NNTP
	143,  // IMAP
	220,  // IMAP3
	389,  // LDAP: an anonymous bind is like the start of a request
	514,  // syslog over TCP: send and go
	587,  // SMTP submission
	601,  // syslog over TCP (RFC 3195)
	873,  // rsync
	2003, // Graphite: send and go
	2525, // SMTP, the usual alternative
	2628, // DICT
	3268, // LDAP, the global catalog of Active Directory
	3306, // MySQL, MariaDB
	3307, // MySQL, the usual second one
	3690, // svnserve
	4190, // ManageSieve
	4222, // NATS
	5038, // Asterisk Manager
	5900, // VNC (RFB), with the next ones for further displays
	5901,
	5902,
	5903,
	6032, // ProxySQL, administration
	6033, // ProxySQL
	6222, // NATS, between the servers of a cluster
	6600, // MPD
	7422, // NATS, leaf nodes
}

// DefaultServerFirstPorts returns the well-known ports on which the server speaks
// first, sorted. The slice is the caller's.
func DefaultServerFirstPorts() []uint16 { return slices.Clone(defaultServerFirstPorts[:]) }

// AllServerFirstPorts returns DefaultServerFirstPorts and those that the mesh
// names besides, sorted, each once. The slice is the caller's. Nil settings name none.
func (s *Settings) AllServerFirstPorts() []uint16 {
	ports := DefaultServerFirstPorts()
	if s != nil {
		ports = append(ports, s.ServerFirstPorts...)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// ServerFirst reports whether the server speaks first on that port.
func (s *Settings) ServerFirst(port uint16) bool {
	return slices.Contains(defaultServerFirstPorts[:], port) ||
		s != nil && slices.Contains(s.ServerFirstPorts, port)
}
