package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

var (
	// ErrAddress is returned for an address that is not host:port, or that other machines could reach.
	ErrAddress = fault.New(fault.Usage, "metrics: not an address of this machine alone").
			WithHint("nobody is asked who they are: use 127.0.0.1:PORT, [::1]:PORT or localhost:PORT, or off; " +
			"to scrape from elsewhere, put a proxy in front that asks")
	// ErrInUse is returned when another process listens on the address.
	ErrInUse = fault.New(fault.InUse, "metrics: the address is in use").WithHint("choose another port, or 0 for a free one")
)

// Limits of the server.
const (
	headerTime  = 2 * time.Second
	readTime    = 5 * time.Second
	writeTime   = 10 * time.Second
	idleTime    = 30 * time.Second
	drainTime   = time.Second // for answers under way at Close
	maxHeader   = 8 << 10     // bytes
	maxScrapes  = 4           // at a time; more are told to come back
	maxClients  = 32          // connections at a time; more wait
	contentType = "application/json; charset=utf-8"
)

// Check is one thing that readiness depends on.
type Check struct {
	Name string       // a word from a closed list
	Test func() error // nil if it passes; must not block for long, called from many goroutines at once
}

// Config of a server. It is not changed after [Listen].
type Config struct {
	Address string // host:port of this machine alone; port 0 takes a free one
	Meter   *Meter
	Sample  func() Sample // asked at each scrape, from many goroutines at once
	Checks  []Check
	Logger  *slog.Logger // discards if nil
}

// Server answers /metrics, /healthz and /readyz. It is safe for concurrent use.
type Server struct {
	checks   []Check
	listener net.Listener
	http     *http.Server
	routes   *http.ServeMux
	serving  sync.WaitGroup
	close    sync.Once
	closing  error
}

// CheckAddress refuses, with [ErrAddress], what [Listen] would refuse without listening.
func CheckAddress(address string) error {
	_, err := loopback(address)
	return err
}

// loopback returns the address with its host as a number. Names are not looked up: who answers for them may change.
func loopback(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%w: port %.16q", ErrAddress, port)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return "", fmt.Errorf("%w: %.64q", ErrAddress, host)
	}
	return net.JoinHostPort(host, port), nil
}

// Listen begins to answer. The caller must close the server. Errors: [ErrAddress], [ErrInUse], the system's.
func Listen(config Config) (*Server, error) {
	address, err := loopback(config.Address)
	if err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{checks: config.Checks}
	if s.routes, err = s.handlers(config); err != nil {
		return nil, err
	}
	switch s.listener, err = net.Listen("tcp", address); {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: %w", ErrInUse, err)
	case err != nil:
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
	s.listener = newLimited(s.listener, maxClients)
	s.serving.Go(func() { _ = s.http.Serve(s.listener) }) // it ends by Close; its error says so
	return s, nil
}

// handlers is the table of paths. A registry of the server's own takes in the meter's, so that one meter outlives
// servers.
func (s *Server) handlers(config Config) (*http.ServeMux, error) {
	own := prometheus.NewRegistry()
	if err := own.Register(newSampler(config.Sample, config.Checks)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	all := prometheus.Gatherers{config.Meter.registry, own}
	routes := http.NewServeMux()
	routes.Handle("/metrics", promhttp.HandlerFor(all, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		ErrorLog:            slog.NewLogLogger(config.Logger.Handler(), slog.LevelWarn),
	}))
	routes.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	routes.HandleFunc("/readyz", s.ready)
	return routes, nil
}

// Addr returns where the server listens, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening, gives answers under way a second, and returns when nothing of the server runs. A second Close
// returns the same.
func (s *Server) Close() error {
	s.close.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			s.closing = s.http.Close()
		}
		s.serving.Wait()
	})
	return s.closing
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
	case !ownName(r.Host):
		http.Error(w, "ask by 127.0.0.1, [::1] or localhost", http.StatusForbidden)
	default:
		s.routes.ServeHTTP(w, r)
	}
}

// ownName reports whether the request was sent to this machine by its own name.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Result is what one check said.
type Result struct {
	Name   string     `json:"name"`
	OK     bool       `json:"ok"`
	Code   fault.Code `json:"code,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready  bool     `json:"ready"`
	Checks []Result `json:"checks"`
}

// Readiness runs all checks.
func (s *Server) Readiness() Readiness {
	out := Readiness{Ready: true, Checks: make([]Result, 0, len(s.checks))}
	for _, c := range s.checks {
		r := Result{Name: c.Name, OK: true}
		if err := c.Test(); err != nil {
			r = Result{Name: c.Name, Code: fault.CodeOf(err), Reason: err.Error()}
			out.Ready = false
		}
		out.Checks = append(out.Checks, r)
	}
	return out
}

// ready answers 200 if all checks pass and 503 else.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	answer := s.Readiness()
	w.Header().Set("Content-Type", contentType)
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}
