package main

import (
	"context"

	"github.com/fairlead/fairlead/test/bench/report"
	"github.com/fairlead/fairlead/test/bench/sidecar"
)

// sidecars measures real Envoys.
func (b *bench) sidecars(ctx context.Context) error {
	r, err := sidecar.Measure(ctx, logf)
	if err != nil {
		return err
	}
	b.report.Section("anonymous memory of a real Envoy, 10 destinations in use (median of 3 Envoys)")
	b.report.Add("envoy_anon_mib_idle", mib(r.Idle), "MiB")
	b.report.Add("envoy_anon_mib_10_of_100", mib(r.Of100), "MiB")
	b.report.Add("envoy_anon_mib_10_of_1000", mib(r.Of1000), "MiB").Should(report.AtMost(20))
	b.report.Add("envoy_anon_mib_10_of_10000", mib(r.Of10000), "MiB").Should(report.AtMost(20))
	b.report.Add("envoy_anon_growth_mib_1000_to_10000", mib(r.Of10000-r.Of1000), "MiB").Should(report.AtMost(1))
	b.report.Add("envoy_anon_growth_mib_1000_rules", mib(r.WithRules-r.Of10000), "MiB").Should(report.AtMost(1))
	b.report.Add("envoy_anon_growth_mib_1000_rules_all_10_ruled", mib(r.AllRuled-r.Of10000), "MiB")
	b.report.Add("envoy_anon_kib_per_pod_ip", float64(r.PerPod)/1024, "KiB")
	b.report.Add("envoy_anon_growth_mib_1000_pod_ips", mib(r.PerPod*int64(r.PodsCalled)), "MiB")
	return nil
}
