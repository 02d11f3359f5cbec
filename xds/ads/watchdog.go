package ads

import (
	"context"
	"time"
)

// watchdog cuts off the clients that do not read or do not answer. It looks at
// all streams now and then, which costs less than a timer for every send.
func (srv *Server) watchdog(ctx context.Context) {
	tick := time.NewTicker(max(min(srv.cfg.SendDeadline, srv.cfg.AckDeadline)/5, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, s := range srv.stalled(now) {
				srv.stats.stalledCut.Add(1)
				srv.log.Warn("a client is cut off: it does not read or does not answer", "client", s.label(), "remote", s.remote,
					"sending", srv.elapsed(now, s.sendSince.Load()), "unanswered", srv.elapsed(now, s.ackSince.Load()))
				s.cut()
			}
		}
	}
}

func (srv *Server) stalled(now time.Time) (list []*stream) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, s := range srv.streams {
		if srv.elapsed(now, s.sendSince.Load()) > srv.cfg.SendDeadline || srv.elapsed(now, s.ackSince.Load()) > srv.cfg.AckDeadline {
			list = append(list, s)
		}
	}
	return list
}

// clock makes a time.Now that fits an atomic: nanoseconds since the server was
// made, never 0. They are counted by the monotonic clock, so that a step of the
// wall clock (a virtual machine that was asleep, NTP) is no deadline.
func (srv *Server) clock(now time.Time) int64 { return int64(now.Sub(srv.start)) + 1 }

// elapsed returns how long ago t was (see clock), 0 if t is 0.
func (srv *Server) elapsed(now time.Time, t int64) time.Duration {
	if t == 0 {
		return 0
	}
	return time.Duration(srv.clock(now) - t)
}
