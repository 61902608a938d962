package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// statusDoc is a node's status with times as texts.
type statusDoc struct {
	admin.Status
	Reviews []reviewDoc `json:"reviews,omitempty"`
	Started string      `json:"started"`
	Time    string      `json:"time"`
	LogTime string      `json:"log_time"`
	Roster  uint64      `json:"roster"`
	Role    string      `json:"role"`  // leader, follower or joining
	Lease   int64       `json:"lease"` // milliseconds left; 0: none; -1: it needs none
}

func (p serverCommands) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the node is", Args: cobra.NoArgs, Example: "  conclave server status --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			status, err := s.Admin().Status(ctx)
			if err != nil {
				return err
			}
			c, err := s.Admin().Cluster(ctx)
			if err != nil {
				return err
			}
			d := statusDoc{
				Status: status, Reviews: reviewsOf(status),
				Started: stamp(status.Started), Time: stamp(status.Time), LogTime: stamp(status.LogTime),
				Roster: c.Roster, Role: roleOf(c), Lease: c.Lease,
			}
			return s.emit(d, func(w io.Writer) { d.write(w, s.strong) })
		}),
	}
}

// roleOf returns what the node asked is in its cluster.
func roleOf(c admin.Cluster) string {
	for _, m := range c.Nodes {
		if m.Self {
			return m.State
		}
	}
	return "unknown"
}

// leaseText says how long a node may act on what it knows without hearing from a majority, in milliseconds.
func leaseText(left int64) string {
	switch {
	case left < 0:
		return "needs none: it is the only node"
	case left == 0:
		return "none: it serves nobody until it hears from a majority"
	}
	return (time.Duration(left) * time.Millisecond).String() + " left"
}

// reviewDoc is an emergency decision that waits for its review, its times as texts.
type reviewDoc struct {
	admin.Review
	At  string `json:"approved"`
	Due string `json:"due"`
}

func reviewsOf(status admin.Status) []reviewDoc {
	var docs []reviewDoc
	for _, r := range status.Reviews {
		docs = append(docs, reviewDoc{r, stamp(r.At), stamp(r.Due)})
	}
	return docs
}

// warnings are what somebody must act on, before all else.
func (d statusDoc) warnings(loud func(string) string) []string {
	var lines []string
	for _, r := range d.Reviews {
		if r.Over {
			lines = append(lines, loud(fmt.Sprintf("REVIEW OVERDUE: emergency decision %s was due at %s; there is no other emergency until: %s",
				short16(r.Decision), r.Due, reviewing(r.Decision))))
			continue
		}
		lines = append(lines, fmt.Sprintf("REVIEW DUE by %s: emergency decision %s, approved %s: %s",
			r.Due, short16(r.Decision), r.At, reviewing(r.Decision)))
	}
	return lines
}

// rules is the policy in force.
func (d statusDoc) rules() string {
	changed := "as in the genesis"
	switch {
	case d.Policies == 1:
		changed = "changed once"
	case d.Policies > 1:
		changed = fmt.Sprintf("changed %d times", d.Policies)
	}
	return fmt.Sprintf("%s, %s, digest %s", visible(d.Preset), changed, d.Policy)
}

func (d statusDoc) write(w io.Writer, loud func(string) string) {
	for _, line := range d.warnings(loud) {
		fmt.Fprintln(w, line)
	}
	pairs(w, [][2]string{
		{"realm", d.Realm.String()}, {"node", d.Node.String()}, {"address", visible(d.Address)},
		{"role", visible(d.Role)}, {"roster", fmt.Sprint(d.Roster)}, {"lease", leaseText(d.Lease)},
		{"metrics", visible(d.Monitor)},
		{"version", visible(d.Version)}, {"policy", d.rules()}, {"started", d.Started}, {"time", d.Time},
		{"log time", d.LogTime}, {"commands", fmt.Sprint(d.Size)}, {"root", d.Root.String()}, {"state", d.State.String()},
		{"agents", fmt.Sprint(d.Agents)}, {"connections", fmt.Sprint(d.Live)}, {"open decisions", fmt.Sprint(d.Open)},
		{"stopped", strings.TrimSpace(visible(d.Stopped))},
	})
}
