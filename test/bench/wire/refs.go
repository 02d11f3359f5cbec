package wire

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Ref is a resource that another one makes an Envoy ask for. Name is empty for
// virtual hosts: a VHDS subscription names none at first.
type Ref struct {
	Type Type
	Name string
}

// Refs finds what resources make an Envoy ask for. It looks into each version of
// a resource once, however many proxies receive it. The zero value is ready.
type Refs struct {
	seen sync.Map // of cacheKey to []Ref
}

type cacheKey struct {
	t             Type
	name, version string
}

// Of returns the references of r. Types that refer to nothing cost nothing.
func (c *Refs) Of(t Type, r Resource) ([]Ref, error) {
	if t == Endpoint || t == Secret || t == VirtualHost {
		return nil, nil
	}
	key := cacheKey{t, r.Name, r.Version}
	if found, ok := c.seen.Load(key); ok {
		return found.([]Ref), nil
	}
	var any anypb.Any
	if err := proto.Unmarshal(r.Body, &any); err != nil {
		return nil, err
	}
	w := walker{have: map[Ref]bool{}}
	w.message(any.ProtoReflect())
	c.seen.Store(key, w.refs)
	return w.refs, nil
}

type walker struct {
	refs []Ref
	have map[Ref]bool
}

func (w *walker) add(t Type, name string) {
	if r := (Ref{t, name}); !w.have[r] {
		w.have[r] = true
		w.refs = append(w.refs, r)
	}
}

// message looks at m and at everything in it. An extension that is not linked
// into this binary cannot be looked into; those with references are.
func (w *walker) message(m protoreflect.Message) {
	text := func(field protoreflect.Name) string {
		return m.Get(m.Descriptor().Fields().ByName(field)).String()
	}
	switch m.Descriptor().FullName() {
	case "google.protobuf.Any":
		inner, err := m.Interface().(*anypb.Any).UnmarshalNew()
		if err == nil {
			w.message(inner.ProtoReflect())
		}
		return
	case "envoy.config.cluster.v3.Cluster":
		eds := m.Descriptor().Fields().ByName("eds_cluster_config")
		if m.Has(eds) {
			service := m.Get(eds).Message()
			name := service.Get(service.Descriptor().Fields().ByName("service_name")).String()
			if name == "" {
				name = text("name")
			}
			w.add(Endpoint, name)
		}
	case "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig":
		if m.Has(m.Descriptor().Fields().ByName("sds_config")) {
			w.add(Secret, text("name"))
		}
	case "envoy.extensions.filters.network.http_connection_manager.v3.Rds":
		w.add(RouteConfiguration, text("route_config_name"))
	case "envoy.config.route.v3.Vhds":
		w.add(VirtualHost, "")
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() == nil {
			return true
		}
		switch {
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					w.message(v.Message())
					return true
				})
			}
		case f.IsList():
			for i := range v.List().Len() {
				w.message(v.List().Get(i).Message())
			}
		default:
			w.message(v.Message())
		}
		return true
	})
}
