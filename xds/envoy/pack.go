package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// pack puts a message into an Any, always as the same bytes. It panics where a
// string is not UTF-8: what goes in comes from JSON or is a constant.
func pack(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic("envoy: " + err.Error())
	}
	return a
}

// extension is a named extension with its configuration.
func extension(name string, m proto.Message) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: pack(m)}
}

// overADS is the source of everything that is fetched: the one stream. It waits
// for ever: a sidecar without routes or keys is never ready.
func overADS() *corev3.ConfigSource { return overADSWithin(0) }

// clusterOverADS is the source of what a cluster waits for before it is used. An
// Envoy with a cluster that waits takes no clusters and asks for none, so the
// wait has an end: the cluster then fails its calls until the answer comes. One
// name must have one source, because Envoy asks once for each name and answers
// no second asker: so the leaf, which listeners have as well, is not among these.
func clusterOverADS() *corev3.ConfigSource { return overADSWithin(onDemandTimeout) }

// overADSWithin goes on after that time; 0 is never.
func overADSWithin(d time.Duration) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(d),
	}
}

func yes() *wrapperspb.BoolValue                   { return wrapperspb.Bool(true) }
func no() *wrapperspb.BoolValue                    { return wrapperspb.Bool(false) }
func number(n uint32) *wrapperspb.UInt32Value      { return wrapperspb.UInt32(n) }
func lasting(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// socket is a TCP address. Port 0 lets the kernel choose.
func socket(ip string, port uint32) *corev3.SocketAddress {
	return &corev3.SocketAddress{Address: ip, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}
}

func address(ip string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: socket(ip, port)}}
}
