package ads

import (
	"sync/atomic"
	"time"
)

// counters are updated by everyone, atomically.
type counters struct {
	connects, refused, aged, stalledCut               atomic.Int64
	pushes, bytes, resources, removals                atomic.Int64
	acks, ackNanos, nacks, quarantined, withheld      atomic.Int64
	strayAnswers, unknownTypes                        atomic.Int64
	afterTimeouts, stickyLost, overflows, refsRefused atomic.Int64
	namesRefused, replaced                            atomic.Int64
	builds, buildErrors, buildNanos                   atomic.Int64
	cacheHits, cacheMisses                            atomic.Int64
	issues, issueErrors, issueNanos                   atomic.Int64
}

// Stats are totals since the start, but for the first four.
type Stats struct {
	Proxies       int // connected now
	Sending       int // of these, being sent something now
	HeldEntries   int // built resources that a proxy holds
	CachedEntries int // built resources that none holds
	Connects      int64
	Refused       int64 // streams that were not admitted
	Replaced      int64 // streams cut because their pod opened another
	Aged          int64 // streams closed for their age, or by Drain
	StalledCut    int64 // streams cut because the client did not read or answer
	Pushes        int64 // responses
	Bytes         int64 // of responses, uncompressed, without framing
	Resources     int64 // sent
	Removals      int64 // names sent as removed
	Acks          int64
	AckTime       time.Duration // sum, from a send to its ACK
	Nacks         int64
	Quarantined   int64 // versions withheld from everyone
	Withheld      int64 // versions withheld from the one client that rejected it
	StrayAnswers  int64 // to no response that is under way
	UnknownTypes  int64 // requests for a type that is not served
	AfterTimeouts int64 // sent though what should come before was not acknowledged
	StickyLost    int64 // removals that the source asked for and must not
	Overflows     int64 // sticky resources given as Overflower.Overflow
	RefsRefused   int64 // references not followed: Config.MaxHeld
	NamesRefused  int64 // names that a client asked for beyond Config.MaxHeld
	Builds        int64
	BuildErrors   int64
	BuildTime     time.Duration // sum, encoding included
	CacheHits     int64
	CacheMisses   int64
	Issues        int64 // of private resources
	IssueErrors   int64
	IssueTime     time.Duration // sum
}

// Stats returns the server's counters.
func (srv *Server) Stats() Stats {
	c := &srv.stats
	held, cached := srv.cache.sizes()
	srv.mu.Lock()
	proxies := len(srv.streams)
	srv.mu.Unlock()
	return Stats{
		Proxies:       proxies,
		Sending:       int(srv.sending.Load()),
		HeldEntries:   held,
		CachedEntries: cached,
		Connects:      c.connects.Load(),
		Refused:       c.refused.Load(),
		Replaced:      c.replaced.Load(),
		Aged:          c.aged.Load(),
		StalledCut:    c.stalledCut.Load(),
		Pushes:        c.pushes.Load(),
		Bytes:         c.bytes.Load(),
		Resources:     c.resources.Load(),
		Removals:      c.removals.Load(),
		Acks:          c.acks.Load(),
		AckTime:       time.Duration(c.ackNanos.Load()),
		Nacks:         c.nacks.Load(),
		Quarantined:   c.quarantined.Load(),
		Withheld:      c.withheld.Load(),
		StrayAnswers:  c.strayAnswers.Load(),
		UnknownTypes:  c.unknownTypes.Load(),
		AfterTimeouts: c.afterTimeouts.Load(),
		StickyLost:    c.stickyLost.Load(),
		Overflows:     c.overflows.Load(),
		RefsRefused:   c.refsRefused.Load(),
		NamesRefused:  c.namesRefused.Load(),
		Builds:        c.builds.Load(),
		BuildErrors:   c.buildErrors.Load(),
		BuildTime:     time.Duration(c.buildNanos.Load()),
		CacheHits:     c.cacheHits.Load(),
		CacheMisses:   c.cacheMisses.Load(),
		Issues:        c.issues.Load(),
		IssueErrors:   c.issueErrors.Load(),
		IssueTime:     time.Duration(c.issueNanos.Load()),
	}
}
