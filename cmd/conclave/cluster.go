package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// clusterCommands are what stands under `conclave cluster`.
type clusterCommands struct{ *program }

func (p clusterCommands) group() *cobra.Command {
	return group("cluster", "The nodes that run a realm together",
		"A realm runs on 1, 3 or 5 nodes. What most of them have written down holds: of 3 one may fail, of 5 two.\n"+
			"Agents connect to any of them. To grow from one node, give it a cluster address (--cluster, or\n"+
			"conclave.yaml), make a token for each new node, join by it on the new machine, and run it.",
		"  conclave server token\n  conclave server join TOKEN --data ./node --listen HOST:7415 --cluster HOST:7416\n"+
			"  conclave cluster members",
		p.members(), p.leader(), p.transfer(), p.remove(), p.sign(), p.apply(), p.recover(), p.remind())
}

// clusterDoc is what a node knows of the cluster.
type clusterDoc struct {
	admin.Cluster
	Counting  int    `json:"counting"`  // nodes whose majority decides
	Answering int    `json:"answering"` // of these
	Spare     int    `json:"may_fail"`  // of these more
	Verdict   string `json:"verdict"`
}

func (s session) cluster(ctx context.Context) (clusterDoc, error) {
	c, err := s.Admin().Cluster(ctx)
	if err != nil {
		return clusterDoc{}, err
	}
	d := clusterDoc{Cluster: c}
	for _, m := range c.Nodes {
		if !m.Counts {
			continue
		}
		d.Counting++
		if m.State != "silent" && m.State != "unknown" {
			d.Answering++
		}
	}
	d.Spare = max(0, d.Answering-majority(d.Counting))
	d.Verdict = verdict(d.Counting, d.Answering)
	return d, nil
}

// majority is how many of so many nodes decide.
func majority(nodes int) int { return nodes/2 + 1 }

// verdict says in words how a cluster stands of which so many nodes count and answer.
func verdict(counting, answering int) string {
	text := fmt.Sprintf("%d of %d nodes answer; ", answering, counting)
	switch spare := answering - majority(counting); {
	case spare < 0:
		text += fmt.Sprintf("that is no majority: nothing can be changed until %d do", majority(counting))
	case spare == 0 && counting == 1:
		text += "it is the only one, and none may fail"
	case spare == 0:
		text += "none of them may fail"
	default:
		text += fmt.Sprintf("%d may fail", spare)
	}
	if counting > 0 && counting%2 == 0 {
		text += fmt.Sprintf("; %d nodes tolerate no more failures than %d: add one, or remove one", counting, counting-1)
	}
	return text
}

func (p clusterCommands) members() *cobra.Command {
	return &cobra.Command{
		Use: "members", Short: "List the realm's nodes and say how many may fail", Args: cobra.NoArgs,
		Long: "List the realm's nodes as the node that you are connected to sees them. A node that joins follows the log, and\n" +
			"counts once it has caught up and the number of those that count stays odd. * marks the node that was asked.",
		Example: "  conclave cluster members\n  conclave cluster members --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			d, err := s.cluster(ctx)
			if err != nil {
				return err
			}
			return s.emit(d, func(w io.Writer) { d.write(w, time.Now().UnixMilli()) })
		}),
	}
}

func (d clusterDoc) write(w io.Writer, now int64) {
	var rows [][]string
	for _, m := range d.Nodes {
		name := short(m.Node.String())
		if m.Self {
			name += " *"
		}
		state := visible(m.State)
		if !m.Counts && m.State != "joining" {
			state += ", joining"
		}
		rows = append(rows, []string{
			name, dash(m.Client), dash(m.Cluster), state, fmt.Sprint(m.Size), ago(m.Heard, now), dash(m.Version),
		})
	}
	table(w, []string{"NODE", "CLIENT", "CLUSTER", "STATE", "COMMANDS", "HEARD", "VERSION"}, rows)
	fmt.Fprintln(w, d.Verdict)
}

// dash shows a text that may be missing.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return visible(text)
}

// ago says how long before now something was, both in Unix milliseconds; 0 is never.
func ago(then, now int64) string {
	if then == 0 {
		return "never"
	}
	since := time.Duration(max(0, now-then)) * time.Millisecond
	if since < time.Second {
		return "now"
	}
	return since.Truncate(time.Second).String() + " ago"
}

var errNoLeader = fault.New(fault.Unreachable, "no node leads at the moment").
	WithHint("try again in a few seconds; see which nodes answer: conclave cluster members")

func (p clusterCommands) leader() *cobra.Command {
	return &cobra.Command{
		Use: "leader", Short: "Show which node leads", Args: cobra.NoArgs,
		Long:    "Show the node that puts commands in order. Agents need not connect to it: every node passes commands on.",
		Example: "  conclave cluster leader",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			c, err := s.Admin().Cluster(ctx)
			if err != nil {
				return err
			}
			m, ok := c.Leader()
			if !ok {
				return errNoLeader
			}
			return s.emit(m, func(w io.Writer) {
				pairs(w, [][2]string{{"node", m.Node.String()}, {"client", visible(m.Client)}, {"cluster", visible(m.Cluster)}})
			})
		}),
	}
}

// minPrefix is how much of a node's name must be typed.
const minPrefix = 4

// find returns the node whose name begins with what was typed.
func find(c admin.Cluster, typed string) (sdk.ID, error) {
	var found []admin.Machine
	for _, m := range c.Nodes {
		if len(typed) >= minPrefix && strings.HasPrefix(m.Node.String(), typed) {
			found = append(found, m)
		}
	}
	switch {
	case len(typed) < minPrefix:
		return sdk.ID{}, usageHint(fmt.Sprintf("a node is named by its key N..., of which the first %d characters will do, not %.64q",
			minPrefix, typed), "see which there are: conclave cluster members")
	case len(found) == 0:
		return sdk.ID{}, fmt.Errorf("%w: %s", admin.ErrNoNode, visible(typed))
	case len(found) > 1:
		return sdk.ID{}, usageHint(fmt.Sprintf("%d nodes begin with %s", len(found), visible(typed)), "type more of it")
	}
	return found[0].Node, nil
}

func (p clusterCommands) transfer() *cobra.Command {
	return &cobra.Command{
		Use: "transfer [NODE]", Short: "Have another node lead", Args: cobra.MaximumNArgs(1),
		Long:    "Have another node lead, as before its machine is stopped for work: the one named, or any that is up to date.",
		Example: "  conclave cluster transfer\n  conclave cluster transfer NAB7",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			var to sdk.ID
			if len(args) > 0 {
				c, err := s.Admin().Cluster(ctx)
				if err != nil {
					return err
				}
				if to, err = find(c, args[0]); err != nil {
					return err
				}
			}
			s.changes()
			if err := s.Admin().Transfer(ctx, to); err != nil {
				return err
			}
			doc := map[string]string{"asked": "transferred"}
			said := "the leader has given up the lead"
			if !to.IsZero() {
				doc["node"], said = to.String(), said+" to "+to.String()
			}
			return s.emit(doc, textLine(said+"; see who leads: conclave cluster leader"))
		}),
	}
}
