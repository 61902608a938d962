package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Sample is how a node is at one moment. Counts that only grow are since the node's start.
type Sample struct {
	// Of the broker. The node's own connection is in all but Admitted.
	Open, Admitted, Opened, Subscriptions float64
	In, Out                               Flow
	SlowConsumers                         float64

	// Of the log: indexes of entries, bytes of the newest snapshot.
	Committed, Applied, Snapshot float64
	Leader                       bool

	// Of the registrar.
	Commands, Presences, HeadsSigned float64
	Principals                       map[Standing]int
	Decisions                        map[string]int // by state

	TrailEntries float64
}

// Flow is what went one way through the broker.
type Flow struct{ Messages, Bytes float64 }

// Standing is what principals are counted by. Both words come from closed lists.
type Standing struct{ Role, Status string }

// reading is one number of a sample with nothing to tell it apart from others, or one of two directions.
type reading struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels []string
	of     func(Sample) float64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

func gauge(name, help string, of func(Sample) float64) reading {
	return reading{desc: describe(name, help), kind: prometheus.GaugeValue, of: of}
}

func total(name, help string, of func(Sample) float64) reading {
	return reading{desc: describe(name, help), kind: prometheus.CounterValue, of: of}
}

// readings is the table of all numbers that stand alone.
func readings() []reading {
	messages := describe("messages_total", "Messages through the broker; going out, once for each receiver.", "direction")
	bytes := describe("message_bytes_total", "Bytes of messages through the broker.", "direction")
	flow := func(d *prometheus.Desc, direction string, of func(Sample) float64) reading {
		return reading{d, prometheus.CounterValue, []string{direction}, of}
	}
	return []reading{
		gauge("connections", "Connections of principals now.", func(s Sample) float64 { return s.Admitted }),
		gauge("sockets", "Connections now, the node's own and those that have not logged in yet too.",
			func(s Sample) float64 { return s.Open }),
		total("connections_opened_total", "Connections that were opened, whatever became of them.",
			func(s Sample) float64 { return s.Opened }),
		gauge("subscriptions", "Subscriptions now.", func(s Sample) float64 { return s.Subscriptions }),
		flow(messages, "in", func(s Sample) float64 { return s.In.Messages }),
		flow(messages, "out", func(s Sample) float64 { return s.Out.Messages }),
		flow(bytes, "in", func(s Sample) float64 { return s.In.Bytes }),
		flow(bytes, "out", func(s Sample) float64 { return s.Out.Bytes }),
		total("slow_consumers_total", "Connections that were cut because they did not read.",
			func(s Sample) float64 { return s.SlowConsumers }),
		gauge("log_committed_index", "Index of the last log entry that is decided.",
			func(s Sample) float64 { return s.Committed }),
		gauge("log_applied_index", "Index of the last log entry that was applied.",
			func(s Sample) float64 { return s.Applied }),
		gauge("log_leader", "1 if this node may append to the log.", func(s Sample) float64 { return truth(s.Leader) }),
		gauge("log_snapshot_bytes", "Size of the newest snapshot; 0 if there is none.",
			func(s Sample) float64 { return s.Snapshot }),
		gauge("registry_commands", "Commands in the registry's tree.", func(s Sample) float64 { return s.Commands }),
		gauge("presences", "Processes whose announcement stands.", func(s Sample) float64 { return s.Presences }),
		total("heads_signed_total", "Tree heads that this node signed.", func(s Sample) float64 { return s.HeadsSigned }),
		gauge("trail_entries", "Entries of the audit trail.", func(s Sample) float64 { return s.TrailEntries }),
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// sampler is a [prometheus.Collector] that asks for a sample and runs the checks at each scrape.
type sampler struct {
	sample     func() Sample
	checks     []Check
	readings   []reading
	principals *prometheus.Desc
	decisions  *prometheus.Desc
	passed     *prometheus.Desc
}

var _ prometheus.Collector = (*sampler)(nil)

func newSampler(sample func() Sample, checks []Check) *sampler {
	return &sampler{
		sample: sample, checks: checks, readings: readings(),
		principals: describe("principals", "Principals of the realm.", "role", "status"),
		decisions:  describe("decisions", "Decisions in the registry, by their state.", "state"),
		passed:     describe("check_passed", "1 if the check that readiness depends on passes.", "check"),
	}
}

// Describe implements [prometheus.Collector].
func (s *sampler) Describe(to chan<- *prometheus.Desc) {
	last := ""
	for _, r := range s.readings {
		if d := r.desc.String(); d != last { // directions share one
			to <- r.desc
			last = d
		}
	}
	to <- s.principals
	to <- s.decisions
	to <- s.passed
}

// Collect implements [prometheus.Collector].
func (s *sampler) Collect(to chan<- prometheus.Metric) {
	now := s.sample()
	for _, r := range s.readings {
		to <- prometheus.MustNewConstMetric(r.desc, r.kind, r.of(now), r.labels...)
	}
	for _, k := range first(slices.Collect(maps.Keys(now.Principals))) {
		to <- prometheus.MustNewConstMetric(s.principals, prometheus.GaugeValue, float64(now.Principals[k]), k.Role, k.Status)
	}
	for _, k := range first(slices.Collect(maps.Keys(now.Decisions))) {
		to <- prometheus.MustNewConstMetric(s.decisions, prometheus.GaugeValue, float64(now.Decisions[k]), k)
	}
	for _, c := range s.checks {
		to <- prometheus.MustNewConstMetric(s.passed, prometheus.GaugeValue, truth(c.Test() == nil), c.Name)
	}
}

// first returns at most [MaxValues] of the keys.
func first[K any](keys []K) []K { return keys[:min(len(keys), MaxValues)] }
