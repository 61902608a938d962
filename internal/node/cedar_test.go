package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
)

const gateText = `@id("no-vault") forbid (principal, action, resource == Target::"vault");`

// gated adds a Cedar file to a node's directory and settings.
func gated(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "gate.cedar"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := "listen: 127.0.0.1:0\ncedar: " + name + "\n"
	if err := os.WriteFile(filepath.Join(dir, settingsFile), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
}

// proposing hands in a proposal by the operator and returns what the node says.
func proposing(t *testing.T, n *Node, s identity.Signer, target string) error {
	t.Helper()
	now := time.Now().UnixMilli()
	p := consensus.Proposal{
		Version: consensus.FormatVersion, Proposer: s.ID(), Executor: s.ID(), Store: [16]byte{1}, Nonce: [16]byte{byte(len(target))},
		Issued: now, Expires: now + 60_000, Action: consensus.Action{Kind: "db.read", Target: target},
	}
	raw, err := s.Sign(n.Realm(), p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := registry.New(s.ID(), registry.TypePropose, registry.Propose{Proposal: raw}, [16]byte{9, byte(len(target))}, now)
	if err != nil {
		t.Fatal(err)
	}
	command, err := s.Cosign(n.Realm(), c)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := n.Submit(context.Background(), command)
	if err != nil {
		return err
	}
	return answer.Err()
}

// A node with a Cedar file refuses what it forbids, wherever the file is.
func TestNodeAsksItsGate(t *testing.T) {
	for _, place := range []string{"beside", "elsewhere"} {
		t.Run(place, func(t *testing.T) {
			dir, operator := solo(t)
			name := "gate.cedar"
			if place == "elsewhere" {
				name = filepath.Join(dir, name)
			}
			gated(t, dir, name, gateText)
			n := open(t, dir)
			if err := proposing(t, n, operator, "garden"); err != nil {
				t.Errorf("honest: %v", err)
			}
			if err := proposing(t, n, operator, "vault"); !errors.Is(err, policy.ErrGate) {
				t.Errorf("forbidden: %v", err)
			}
		})
	}
}

// A gate that cannot be read is no open door: the node does not start.
func TestNodeWithoutItsGateDoesNotStart(t *testing.T) {
	for name, text := range map[string]string{
		"gate.cedar": "forbid (principal, action, resource",
		"none.cedar": gateText,
		"../none":    gateText,
		".":          gateText,
	} {
		dir, _ := solo(t)
		gated(t, dir, name, text)
		if n, err := Open(context.Background(), Config{Dir: dir}); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				_ = n.Close()
			}
		}
	}
	dir, _ := solo(t)
	gated(t, dir, "gate.cedar", gateText)
	if err := os.Chmod(filepath.Join(dir, "gate.cedar"), 0o666); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(context.Background(), Config{Dir: dir}); err == nil {
		t.Error("a gate that anybody may change")
		_ = n.Close()
	}
}
