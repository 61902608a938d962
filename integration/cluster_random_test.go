//go:build netns

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/integration/lab"
)

// kinds are the faults of the random schedules.
var kinds = []lab.Kind{
	lab.Kill, lab.KillLeader, lab.Pause, lab.Partition, lab.OneWay, lab.Loss, lab.Delay, lab.Stall, lab.Corrupt,
}

// shape is a schedule of about that length.
func shape(nodes int, span time.Duration) lab.Shape {
	return lab.Shape{
		Nodes: nodes, Span: span, Shortest: 2 * time.Second, Longest: 5 * time.Second, Rest: time.Second, Kinds: kinds,
	}
}

// TestClusterRandom plays one random schedule, or, for as long as CONCLAVE_CLUSTER_SOAK says ("8h"), longer ones, each on a
// cluster of its own.
func TestClusterRandom(t *testing.T) {
	text := os.Getenv("CONCLAVE_CLUSTER_SOAK")
	if text == "" {
		playSchedule(t, seedOf(t), 45*time.Second)
		return
	}
	span, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(span); time.Now().Before(end) && !t.Failed(); {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playSchedule(t, seed, 90*time.Second) })
	}
}

func playSchedule(t *testing.T, seed uint64, span time.Duration) {
	c := newCluster(t, 3, true)
	s, err := lab.Generate(seed, shape(len(c.nodes), span))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(s)
	r := newTrial(c, seed)
	played, err := s.Play(t.Context(), c.fault, func(ctx context.Context) error {
		_, err := c.heal(ctx)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, p := range played {
		t.Logf("%s: %s, %v: %s", p.Step, p.Name, p.Ended.Sub(p.Began).Round(time.Millisecond), p.Evidence)
		if !p.Took {
			t.Errorf("%s had no effect", p.Name)
		}
	}
	r.progress("after the last fault", r.recorder.Now())
	r.judge()
}

// fault makes the fault of a step.
func (c *cluster) fault(s lab.Step) (lab.Fault, error) {
	var one, rest []*lab.Host
	if s.Victim >= 0 {
		one, rest = c.hosts[s.Victim:s.Victim+1], c.rest(s.Victim)
	}
	if s.Seed%2 == 1 && s.Kind != lab.Partition { // the other direction
		one, rest = rest, one
	}
	switch s.Kind {
	case lab.Kill:
		return lab.NewKill("kill -9", lab.Fixed(c.nodes[s.Victim])), nil
	case lab.KillLeader:
		return lab.NewKill("kill -9 the leader", c.pickLeader), nil
	case lab.Pause:
		return lab.NewPause(lab.Fixed(c.nodes[s.Victim])), nil
	case lab.Partition:
		return lab.NewPartition(c.wires, one, rest), nil
	case lab.OneWay:
		return lab.NewOneWay(c.wires, one, rest), nil
	case lab.Loss:
		return lab.NewLoss(c.wires, c.hosts, 1+int(s.Seed%10)), nil
	case lab.Delay:
		return lab.NewDelay(c.wires, c.hosts, time.Duration(s.Seed%100)*time.Millisecond, 20*time.Millisecond), nil
	case lab.Stall:
		return lab.NewStorm(c.wires, one, rest, lab.Weather{Stall: true}), nil
	case lab.Corrupt:
		return lab.NewStorm(c.wires, one, rest, lab.Weather{Corrupt: 1000}), nil
	default:
		return nil, fmt.Errorf("no fault %s in this lab", s.Kind)
	}
}
