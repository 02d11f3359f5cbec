package controller

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/fairlead/fairlead/internal/version"
	"github.com/fairlead/fairlead/xds/ads"
)

// Status is what the debug listener says of the control plane as a whole.
type Status struct {
	Version string `json:"version"`
	// Serving is false until the manifests could be read whole once.
	Serving    bool      `json:"serving"`
	Services   int       `json:"services"`
	Pods       int       `json:"pods"`
	Proxies    int       `json:"proxies"`
	Synced     int       `json:"synced"`
	IssuerKey  string    `json:"issuerKey"`
	Roots      int       `json:"roots"`
	RootExpiry time.Time `json:"rootExpiry"`
	// Problems are those of the manifests, each in a line.
	Problems []string `json:"problems,omitempty"`
}

// Resource is one resource that a proxy holds, with its content. Of a private
// one (keys) there is no content.
type Resource struct {
	Type     string          `json:"type"`
	Name     string          `json:"name"`
	Version  string          `json:"version"`
	Resource json.RawMessage `json:"resource,omitempty"`
}

// serveDebug serves the debug listener until ctx ends.
func (c *Controller) serveDebug(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: c.debugHandler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	context.AfterFunc(ctx, func() { s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// debugHandler serves GET only. A browser on the same machine must not be led
// here by a page of another site, so a Host that is not of this machine is refused.
func (c *Controller) debugHandler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), xdsCollector{c.server})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.status()) })
	mux.HandleFunc("GET /v1/proxies", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.server.Proxies()) })
	mux.HandleFunc("GET /v1/proxies/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		c.withProxy(w, r, func(id uint64) (any, error) { return c.server.Proxy(id) })
	})
	mux.HandleFunc("GET /v1/proxies/{namespace}/{pod}/config", func(w http.ResponseWriter, r *http.Request) {
		c.withProxy(w, r, c.config)
	})
	return localOnly(mux)
}

func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		if ip := net.ParseIP(host); host != "localhost" && host != "" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "the debug listener answers to localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Controller) status() Status {
	s := Status{
		Version:   version.String(),
		Serving:   c.serving.Load(),
		Services:  len(c.store.Services()),
		Pods:      len(c.store.Pods()),
		IssuerKey: c.authority.IssuerKeyID(),
	}
	for _, root := range c.authority.Bundle().Certificates() {
		s.Roots++
		if s.RootExpiry.IsZero() || root.NotAfter.Before(s.RootExpiry) {
			s.RootExpiry = root.NotAfter
		}
	}
	for _, p := range c.server.Proxies() {
		s.Proxies++
		if p.Synced && !p.Rejects {
			s.Synced++
		}
	}
	for _, p := range c.reports.problems() {
		s.Problems = append(s.Problems, p.Error())
	}
	return s
}

// withProxy finds the newest stream of the pod that the path names.
func (c *Controller) withProxy(w http.ResponseWriter, r *http.Request, get func(id uint64) (any, error)) {
	pod := r.PathValue("namespace") + "/" + r.PathValue("pod")
	var id uint64
	for _, p := range c.server.Proxies() {
		if p.Pod == pod {
			id = p.ID
		}
	}
	v, err := get(id)
	switch {
	case errors.Is(err, ads.ErrNoProxy):
		http.Error(w, "no sidecar of pod "+pod+" is connected to this controller", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		writeJSON(w, v)
	}
}

// config is what a proxy was last sent.
func (c *Controller) config(id uint64) (any, error) {
	list, err := c.server.Config(id)
	if err != nil {
		return nil, err
	}
	out := make([]Resource, 0, len(list))
	for _, r := range list {
		t, _ := ads.ParseType(r.GetResource().GetTypeUrl())
		one := Resource{Type: t.String(), Name: r.GetName(), Version: r.GetVersion()}
		if len(r.GetResource().GetValue()) > 0 {
			message, err := r.GetResource().UnmarshalNew()
			if err != nil {
				return nil, err
			}
			if one.Resource, err = (protojson.MarshalOptions{UseProtoNames: true}).Marshal(message); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the reader may have gone
}
