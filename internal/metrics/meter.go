package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

const namespace = "conclave"

// done is the code's label where there was no failure.
const done = "ok"

// Buckets of latencies, in seconds: from what a cached answer takes to what a dying disk does.
var latencies = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Meter counts events of one node. Its methods are safe for concurrent use and do not block.
type Meter struct {
	registry *prometheus.Registry
	codes    labels
	ops      labels

	admitted  prometheus.Counter
	refused   *prometheus.CounterVec
	cut       *prometheus.CounterVec
	throttled prometheus.Counter
	commands  *prometheus.CounterVec
	rejected  *prometheus.CounterVec
	append    prometheus.Histogram
	unkept    *prometheus.CounterVec
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
}

// NewMeter returns a meter with a registry of its own. version is the program's, for conclave_build_info.
func NewMeter(version string) *Meter {
	m := &Meter{
		registry:  prometheus.NewRegistry(),
		admitted:  counter("connections_admitted_total", "Connections that proved who they are and were let in."),
		refused:   counters("connections_refused_total", "Logins that were refused, by error code.", "code"),
		cut:       counters("connections_cut_total", "Admitted connections that lost their rights and were cut, by error code.", "code"),
		throttled: counter("rate_windows_closed_total", "Times that a principal published too fast and was stopped for a while."),
		commands:  counters("commands_total", "Commands applied, by the ledger's verdict.", "verdict"),
		rejected:  counters("commands_refused_total", "Commands that were not applied, by error code.", "code"),
		unkept:    counters("log_append_errors_total", "Entries that the log did not take, or not for certain, by error code.", "code"),
		requests:  counters("control_requests_total", "Requests of principals that were answered.", "op", "code"),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "log_append_seconds", Buckets: latencies,
			Help: "Time until an entry was synced to the disk and applied.",
		}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "control_request_seconds", Buckets: latencies,
			Help: "Time until a request was answered.",
		}, []string{"op"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(build, m.admitted, m.refused, m.cut, m.throttled, m.commands, m.rejected, m.append, m.unkept,
		m.requests, m.latency, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// Admitted counts a connection that was let in.
func (m *Meter) Admitted() { m.admitted.Inc() }

// Refused counts a login that was refused.
func (m *Meter) Refused(code fault.Code) { m.refused.WithLabelValues(m.codes.bound(code)).Inc() }

// Cut counts an admitted connection that was cut.
func (m *Meter) Cut(code fault.Code) { m.cut.WithLabelValues(m.codes.bound(code)).Inc() }

// Throttled counts a principal's rate window that was closed.
func (m *Meter) Throttled() { m.throttled.Inc() }

// Commanded counts a command: applied with the verdict code, or not applied because of the error code.
func (m *Meter) Commanded(code fault.Code, applied bool) {
	vec := m.rejected
	if applied {
		vec = m.commands
	}
	vec.WithLabelValues(m.codes.bound(code)).Inc()
}

// Appended notes what came of one append to the log, and how long it took.
func (m *Meter) Appended(code fault.Code, took time.Duration) {
	if code != "" {
		m.unkept.WithLabelValues(m.codes.bound(code)).Inc()
		return
	}
	m.append.Observe(took.Seconds())
}

// Asked notes that a control request was answered.
func (m *Meter) Asked(op string, code fault.Code, took time.Duration) {
	op = m.ops.bound(fault.Code(op))
	m.requests.WithLabelValues(op, m.codes.bound(code)).Inc()
	m.latency.WithLabelValues(op).Observe(took.Seconds())
}

// MaxValues bounds the values that one label takes; further ones become "other".
const MaxValues = 64

// labels remembers the values that a label took. It is safe for concurrent use.
type labels struct {
	mu   sync.Mutex
	seen map[fault.Code]bool
}

// bound returns the value to use: "ok" for none, "other" where the list is full.
func (l *labels) bound(value fault.Code) string {
	if value == "" {
		return done
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[value] {
		return string(value)
	}
	if len(l.seen) >= MaxValues {
		return "other"
	}
	if l.seen == nil {
		l.seen = map[fault.Code]bool{}
	}
	l.seen[value] = true
	return string(value)
}
