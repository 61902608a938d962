// Package metrics tells people and machines how a node is: /metrics for Prometheus, /healthz and /readyz for whoever
// starts and watches nodes, over HTTP on the machine's own address. It is the only package that knows Prometheus.
//
//	meter := metrics.NewMeter(version)
//	server, err := metrics.Listen(metrics.Config{Address: "127.0.0.1:0", Meter: meter, Sample: sample, Checks: checks})
//
// A [Meter] is told of events; a [Sample] is asked for at each scrape. A name or label never carries an agent's id, a
// subject or a payload: labels come from closed lists, and each list is cut off at [MaxValues], so that nobody's
// behaviour makes more series.
//
// Refused: an address that other machines can reach (nobody is asked who they are), requests other than GET, and those
// that were not sent to the machine's own name, which is what a page does that a browser was tricked into.
package metrics
