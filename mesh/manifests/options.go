package manifests

import (
	"net/netip"
	"runtime"
)

// Options say how manifests are read. The zero value is good for everything but
// StandIns.
type Options struct {
	// Namespace of objects that name none; "default" unless set.
	Namespace string
	// StandIns gives an address to pods and templates without one, so that what
	// leads to them can be looked at offline. A live folder leaves it false.
	StandIns bool
	// ServiceRanges are where Services without a cluster IP get one from: at most
	// one range per family, that of the primary family first. Unless set,
	// 240.0.0.0/8 and fdfa:1ead:0:1::/64.
	ServiceRanges []netip.Prefix
	// PodRanges are where StandIns come from. Unless set, 241.0.0.0/8 and
	// fdfa:1ead:0:2::/64.
	PodRanges []netip.Prefix
	// MaxFileSize is in bytes, MaxDocuments counts the objects of a file, MaxFiles
	// those of a folder. Unless set, 32 MiB, 100,000 and 100,000.
	MaxFileSize  int64
	MaxDocuments int
	MaxFiles     int
	// Parallel is how many files are read at a time; unless set, one per CPU.
	Parallel int
}

// WithDefaults fills in what is not set.
func (o Options) WithDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if len(o.ServiceRanges) == 0 {
		// 240.0.0.0/4 is reserved (RFC 1112), so no real address is in there; Linux
		// takes it for unicast all the same.
		o.ServiceRanges = []netip.Prefix{
			netip.MustParsePrefix("240.0.0.0/8"), netip.MustParsePrefix("fdfa:1ead:0:1::/64"),
		}
	}
	if len(o.PodRanges) == 0 {
		o.PodRanges = []netip.Prefix{
			netip.MustParsePrefix("241.0.0.0/8"), netip.MustParsePrefix("fdfa:1ead:0:2::/64"),
		}
	}
	if o.MaxFileSize <= 0 {
		o.MaxFileSize = 32 << 20
	}
	if o.MaxDocuments <= 0 {
		o.MaxDocuments = 100_000
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 100_000
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	return o
}
