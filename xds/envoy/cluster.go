package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fairlead/fairlead/mesh"
	"github.com/fairlead/fairlead/policy"
)

// ServiceCluster describes a cluster of one port of a Service.
type ServiceCluster struct {
	Name ClusterName
	// Endpoints are those of the port.
	Endpoints AssignmentName
	// Defaults are those of the port. Their retries hold for calls by address without
	// rules: a backend's cluster has none, its route says it.
	Defaults policy.Defaults
}

// NewServiceCluster makes the cluster of a Service port. Its endpoints come by
// EDS; each says by its metadata whether it has a sidecar.
func NewServiceCluster(s ServiceCluster) *clusterv3.Cluster {
	c := base(s.Name, s.Defaults)
	c.AltStatName = statName(s.Name, s.Endpoints.Target)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: clusterOverADS(), ServiceName: s.Endpoints.String()}
	c.OutlierDetection = outlierDetection(s.Defaults.Outlier)
	c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
		{
			Name:            "mesh",
			Match:           meshedMatch(),
			TransportSocket: upstreamTLS(alpnOf(s.Name), SecretName{Service: s.Endpoints.Service}),
		},
		{Name: "plaintext", Match: &structpb.Struct{}, TransportSocket: plaintext()},
	}
	if s.Defaults.ClientIPAffinity {
		c.LbPolicy = clusterv3.Cluster_RING_HASH
	} else {
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	}
	if !s.Name.TCP {
		h := protocolOptions()
		if s.Name.Address.IsValid() {
			h.RetryPolicy = retryPolicy(&s.Defaults.Retry, nil)
			if s.Defaults.ClientIPAffinity {
				h.HashPolicy = hashBySource()
			}
		}
		setHTTP(c, h)
	}
	return c
}

// NewPodCluster makes the cluster of a pod that is called by its own address:
// one endpoint, which is asked for its account if it has a sidecar.
func NewPodCluster(name ClusterName, pod *mesh.Pod) *clusterv3.Cluster {
	c := base(name, ownDefaults())
	c.AltStatName = "pod/" + name.String()
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LoadAssignment = assignment(name.String(), []*endpointv3.LbEndpoint{
		lbEndpoint(name.Address.Addr().String(), uint32(name.Address.Port()), false),
	})
	if pod.Meshed {
		c.TransportSocket = upstreamTLS(alpnOf(name), SecretName{Account: pod.AccountName()})
	}
	if !name.TCP {
		h := protocolOptions()
		h.RetryPolicy = retryPolicy(&policy.DefaultRetry, nil)
		setHTTP(c, h)
	}
	return c
}

// NewPassthrough makes a cluster that connects to the address which was called,
// in the clear: outside the mesh, or nobody knows whose it is.
func NewPassthrough(name ClusterName) *clusterv3.Cluster {
	c := base(name, ownDefaults())
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	if name.Address.IsValid() && !name.TCP {
		setHTTP(c, protocolOptions())
	}
	return c
}

// NewEmpty makes a cluster without endpoints: calls fail at once (503, or a
// closed connection).
func NewEmpty(name ClusterName) *clusterv3.Cluster {
	c := base(name, ownDefaults())
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: name.String()}
	if !name.TCP && name.Fixed == "" {
		setHTTP(c, protocolOptions())
	}
	return c
}

// NewInboundCluster makes the cluster of the app behind the sidecar: the address that
// the caller called, from a source that the redirect lets through.
func NewInboundCluster() *clusterv3.Cluster {
	c := NewPassthrough(ClusterName{Fixed: InboundName})
	c.UpstreamBindConfig = &corev3.BindConfig{
		SourceAddress:        socket("127.0.0.6", 0),
		ExtraSourceAddresses: []*corev3.ExtraSourceAddress{{Address: socket("::6", 0)}},
	}
	h := protocolOptions()
	// Many apps close an idle connection after a few seconds, some after two. A
	// request that meets that close is lost, and the caller cannot know whether it
	// was processed. A new connection inside the pod costs next to nothing.
	h.CommonHttpProtocolOptions.IdleTimeout = lasting(time.Second)
	setHTTP(c, h)
	return c
}

// ownDefaults hold where there is no Service.
func ownDefaults() policy.Defaults {
	return policy.Defaults{
		RetryBudget:    policy.DefaultRetryBudget,
		Breakers:       policy.DefaultBreakers,
		ConnectTimeout: policy.DefaultConnectTimeout,
	}
}

// base is what all clusters share.
func base(name ClusterName, d policy.Defaults) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:            name.String(),
		ConnectTimeout:  lasting(d.ConnectTimeout),
		CircuitBreakers: circuitBreakers(d.Breakers, d.RetryBudget),
		// Endpoints without health are not called for want of better ones: who is
		// ready is decided in the assignment.
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}},
		// A peer that vanished (a dead node) must not hold a long call for ever.
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveTime:     number(60),
			KeepaliveInterval: number(10),
			KeepaliveProbes:   number(6),
		}},
	}
}

func circuitBreakers(b policy.Breakers, r policy.RetryBudget) *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     number(b.MaxConnections),
		MaxPendingRequests: number(b.MaxPending),
		MaxRequests:        number(b.MaxRequests),
		RetryBudget: &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &typev3.Percent{Value: float64(r.Percent)},
			MinRetryConcurrency: number(r.MinConcurrent),
		},
	}}}
}

// outlierDetection counts gateway failures in a row. The statistical kinds, some
// of them on by default, are off: they need more traffic than one proxy has.
func outlierDetection(o policy.Outlier) *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		ConsecutiveGatewayFailure:          number(o.ConsecutiveGatewayFailures),
		EnforcingConsecutiveGatewayFailure: number(100),
		EnforcingConsecutive_5Xx:           number(0),
		EnforcingSuccessRate:               number(0),
		EnforcingFailurePercentage:         number(0),
		Interval:                           lasting(o.Interval),
		BaseEjectionTime:                   lasting(o.Ejection),
		MaxEjectionTime:                    lasting(o.MaxEjection),
		MaxEjectionPercent:                 number(o.MaxEjectedPercent),
		AlwaysEjectOneHost:                 no(),
	}
}

// statName is the cluster's name in stats and access logs: the Service in
// front, unique behind, because clusters of one stat name share their gauges
// (outlier detection counts its ejections in one).
func statName(n ClusterName, t policy.Target) string {
	switch {
	case !n.Address.IsValid():
		return ""
	case n.TCP:
		return tcpPrefix + backend(t) + "@" + n.Address.String()
	default:
		return backend(t) + "@" + n.Address.String()
	}
}

func alpnOf(n ClusterName) string {
	if n.TCP {
		return alpnTCP
	}
	return alpnHTTP
}
