package ads

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// idleRetry is how soon a stream that is to be closed is looked at again if
// something is under way.
const idleRetry = 50 * time.Millisecond

// checkAge closes the stream if it is old and nothing is under way. The client
// connects again, to whichever replica.
func (s *stream) checkAge(now time.Time) {
	if s.ageAt.IsZero() {
		return
	}
	switch {
	case now.Before(s.ageAt):
		s.arm(s.ageAt)
	case s.idle() || now.Sub(s.ageAt) > s.srv.cfg.AckDeadline:
		s.ageAt = time.Time{}
		s.srv.stats.aged.Add(1)
		s.conn.close()
	default:
		s.arm(now.Add(idleRetry))
	}
}

func (s *stream) idle() bool {
	return !s.pushing && len(s.inflight) == 0 && !s.hasWork()
}

// closeBy sets the age of the stream so that it ends at the time, or soon after.
func (s *stream) closeBy(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.ageAt.IsZero() || at.Before(s.ageAt) {
		s.ageAt = at
	}
	s.arm(s.ageAt)
}

// Drain closes the streams one by one, spread over the window, each when nothing
// is under way; then it refuses new ones and waits until all are gone. The health
// service says NOT_SERVING from the start. When ctx ends the remaining streams
// are cut, and its cause is returned.
func (srv *Server) Drain(ctx context.Context, window time.Duration) error {
	srv.health.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	list := srv.list()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	start := time.Now()
	for i, s := range list {
		s.closeBy(start.Add(window * time.Duration(i+1) / time.Duration(len(list)+1)))
	}
	wait := time.NewTimer(window)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	srv.draining.Store(true)
	for _, s := range srv.list() {
		s.closeBy(time.Now())
	}
	err := srv.waitEmpty(ctx)
	if err != nil {
		for _, s := range srv.list() {
			s.cut()
		}
	}
	return err
}
