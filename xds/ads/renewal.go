package ads

import "time"

// Renewal says when a private resource is to be made anew.
type Renewal struct {
	// At is the time; zero means never. It already has its jitter.
	At time.Time
}
