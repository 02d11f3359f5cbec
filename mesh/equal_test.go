package mesh

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// TestEqualForgetsNoField changes one field after the other, and sees to it that
// Equal notices: what it does not notice never reaches a proxy.
func TestEqualForgetsNoField(t *testing.T) {
	forgets(t, (*Service).Equal, "Source")
	forgets(t, (*Slice).Equal, "Source")
	forgets(t, (*Endpoint).Equal)
	forgets(t, (*Pod).Equal, "Source")
	forgets(t, (*Namespace).Equal)
	forgets(t, (*Settings).Equal)
}

func forgets[V any](t *testing.T, equal func(a, b *V) bool, ignored ...string) {
	t.Helper()
	typ := reflect.TypeFor[V]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		var a, b V
		reflect.ValueOf(&b).Elem().Field(i).Set(other(t, typ.Field(i).Type))
		want := false
		for _, field := range ignored {
			want = want || field == name
		}
		if got := equal(&a, &b); got != want {
			t.Errorf("%s.%s: equal is %v, want %v", typ.Name(), name, got, want)
		}
		if !equal(&b, &b) || equal(&a, nil) || equal(nil, &a) {
			t.Errorf("%s: a value is equal to itself, and never to nil", typ.Name())
		}
	}
}

// other returns a value that is not zero.
func other(t *testing.T, typ reflect.Type) reflect.Value {
	t.Helper()
	switch typ {
	case reflect.TypeFor[netip.Addr]():
		return reflect.ValueOf(netip.MustParseAddr("10.0.0.1"))
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Unix(1, 0))
	}
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(1)
	case reflect.Struct:
		for i := range typ.NumField() {
			if typ.Field(i).IsExported() {
				v.Field(i).Set(other(t, typ.Field(i).Type))
			}
		}
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(typ.Elem()).Elem()))
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(other(t, typ.Key()), other(t, typ.Elem()))
	default:
		t.Fatalf("no other value of type %s", typ)
	}
	return v
}

func TestRouteEqual(t *testing.T) {
	route := func(change func(*gatewayv1.HTTPRoute)) *Route {
		r := &gatewayv1.HTTPRoute{}
		r.Name, r.Namespace = "r", "shop"
		change(r)
		return &Route{HTTP: r}
	}
	plain := route(func(*gatewayv1.HTTPRoute) {})
	cases := []struct {
		why   string
		other *Route
		equal bool
	}{
		{"the same", route(func(*gatewayv1.HTTPRoute) {}), true},
		{"status is ours", route(func(r *gatewayv1.HTTPRoute) {
			r.Status.Parents = []gatewayv1.RouteParentStatus{{}}
			r.ResourceVersion = "2"
		}), true},
		{"labels say nothing", route(func(r *gatewayv1.HTTPRoute) { r.Labels = map[string]string{"a": "b"} }), true},
		{"spec", route(func(r *gatewayv1.HTTPRoute) { r.Spec.Hostnames = []gatewayv1.Hostname{"a"} }), false},
		{"annotation", route(func(r *gatewayv1.HTTPRoute) { r.Annotations = map[string]string{"a": "b"} }), false},
		{"age", route(func(r *gatewayv1.HTTPRoute) { r.CreationTimestamp.Time = time.Unix(1, 0) }), false},
		{"kind", &Route{GRPC: &gatewayv1.GRPCRoute{ObjectMeta: plain.HTTP.ObjectMeta}}, false},
		{"nil", nil, false},
	}
	for _, c := range cases {
		if got := plain.Equal(c.other); got != c.equal {
			t.Errorf("%s: equal is %v", c.why, got)
		}
	}
}
