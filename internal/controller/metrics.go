package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead/fairlead/xds/ads"
)

// xdsCollector reads the xDS server's counters when Prometheus asks.
type xdsCollector struct{ server *ads.Server }

// xdsMetric is one series: its name, and where its value is.
type xdsMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(ads.Stats) float64
}

func gauge(name, help string, value func(ads.Stats) float64) xdsMetric {
	return xdsMetric{prometheus.NewDesc("fairlead_xds_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func counter(name, help string, value func(ads.Stats) float64) xdsMetric {
	return xdsMetric{prometheus.NewDesc("fairlead_xds_"+name, help, nil, nil), prometheus.CounterValue, value}
}

// xdsMetrics is the table of what is exported.
var xdsMetrics = []xdsMetric{
	gauge("proxies", "Sidecars that are connected.", func(s ads.Stats) float64 { return float64(s.Proxies) }),
	gauge("held_resources", "Built resources that a sidecar holds.", func(s ads.Stats) float64 { return float64(s.HeldEntries) }),
	gauge("cached_resources", "Built resources that no sidecar holds.", func(s ads.Stats) float64 { return float64(s.CachedEntries) }),
	counter("connects_total", "Streams that were admitted.", func(s ads.Stats) float64 { return float64(s.Connects) }),
	counter("refused_total", "Streams that were refused.", func(s ads.Stats) float64 { return float64(s.Refused) }),
	counter("stalled_cut_total", "Streams cut because the sidecar did not read or answer.", func(s ads.Stats) float64 { return float64(s.StalledCut) }),
	counter("pushes_total", "Responses sent.", func(s ads.Stats) float64 { return float64(s.Pushes) }),
	counter("pushed_bytes_total", "Bytes of the responses, uncompressed.", func(s ads.Stats) float64 { return float64(s.Bytes) }),
	counter("pushed_resources_total", "Resources sent.", func(s ads.Stats) float64 { return float64(s.Resources) }),
	counter("acks_total", "Responses that a sidecar accepted.", func(s ads.Stats) float64 { return float64(s.Acks) }),
	counter("ack_seconds_total", "Time from a response to its acceptance, summed.", func(s ads.Stats) float64 { return s.AckTime.Seconds() }),
	counter("nacks_total", "Responses that a sidecar rejected.", func(s ads.Stats) float64 { return float64(s.Nacks) }),
	counter("quarantined_total", "Resource versions withheld from everyone after a rejection.", func(s ads.Stats) float64 { return float64(s.Quarantined) }),
	counter("after_timeouts_total", "Resources sent though what should come before them was not acknowledged in time.", func(s ads.Stats) float64 { return float64(s.AfterTimeouts) }),
	counter("sticky_overflows_total", "Destinations beyond a sidecar's limit.", func(s ads.Stats) float64 { return float64(s.Overflows) }),
	counter("builds_total", "Resources built.", func(s ads.Stats) float64 { return float64(s.Builds) }),
	counter("build_errors_total", "Builds that failed; the last good version stays.", func(s ads.Stats) float64 { return float64(s.BuildErrors) }),
	counter("build_seconds_total", "Time spent on builds, summed.", func(s ads.Stats) float64 { return s.BuildTime.Seconds() }),
	counter("issued_total", "Certificates issued.", func(s ads.Stats) float64 { return float64(s.Issues) }),
	counter("issue_errors_total", "Certificates that could not be issued.", func(s ads.Stats) float64 { return float64(s.IssueErrors) }),
}

// Describe implements prometheus.Collector.
func (c xdsCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range xdsMetrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c xdsCollector) Collect(out chan<- prometheus.Metric) {
	s := c.server.Stats()
	for _, m := range xdsMetrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
}
