package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/guardexec"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/ballot"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// propose holds the command: it is copied, hashed and described, and what is described is proposed.
func (s *stage) propose(ctx context.Context) (string, error) {
	var err error
	s.prepared, err = guardexec.Prepare(guardexec.Request{
		Argv: s.config.Command, Dir: s.workDir, Env: []string{"PATH", "HOME", "LANG"},
	})
	if err != nil {
		return "", err
	}
	s.action = s.prepared.Description().Action()
	treasurer := s.agents["treasurer"]
	s.decision, err = treasurer.Propose(ctx, sdk.Proposal{Action: s.action, Reason: "the demo's own command", Key: "demo"})
	if err != nil {
		return "", err
	}
	again, err := treasurer.Propose(ctx, sdk.Proposal{Action: s.action, Key: "demo"})
	if err != nil || again.ID() != s.decision.ID() {
		return "", fmt.Errorf("the same proposal again was another decision: %w", err)
	}
	v, err := treasurer.Ballots().View(ctx, s.decision.ID().String())
	if err != nil {
		return "", err
	}
	if v.State != consensus.Open.String() || v.Class != consensus.R2.String() {
		return "", fmt.Errorf("the command is %s and %s, not R2 and open", v.Class, v.State)
	}
	return fmt.Sprintf("treasurer: %q is %s: %s, of %d voters; it waits", s.config.Command, v.Class, v.Rule, len(v.Voters)), nil
}

func (s *stage) view(ctx context.Context, a *sdk.Agent) (ballot.View, error) {
	return a.Ballots().View(ctx, s.decision.ID().String())
}

func (s *stage) ownBallot(ctx context.Context) (string, error) {
	for who, a := range map[string]*sdk.Agent{"the treasurer": s.agents["treasurer"], "its operator": s.operators[2]} {
		v, err := s.view(ctx, a)
		if err != nil {
			return "", err
		}
		if _, err := a.Ballots().Vote(ctx, v, ballot.Approve("mine")); fault.CodeOf(err) != fault.Denied {
			return "", fmt.Errorf("%s voted on the treasurer's proposal: %w", who, orNil(err))
		}
	}
	v, err := s.view(ctx, s.agents["reviewer"])
	if err != nil {
		return "", err
	}
	vote := ballot.Approve("the executable is bound by its digest").Confident(950)
	state, err := s.agents["reviewer"].Ballots().Vote(ctx, v, vote)
	if err != nil || state != consensus.Open {
		return "", fmt.Errorf("the reviewer's ballot: %s %w", state, err)
	}
	if v, err = s.view(ctx, s.agents["treasurer"]); err != nil {
		return "", err
	}
	committed := slices.ContainsFunc(v.Voters, func(e ballot.Voter) bool { return e.ID == s.agents["reviewer"].ID() && e.Committed })
	if !committed || len(v.Ballots) > 0 {
		return "", fmt.Errorf("the reviewer has committed: %t; ballots that others can read: %d", committed, len(v.Ballots))
	}
	return "the proposer and its operator: REFUSED denied; the reviewer, of another operator: committed, unread until it ends", nil
}

func (s *stage) tooFew(ctx context.Context) (string, error) {
	limited, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := s.decision.Wait(limited); fault.CodeOf(err) != fault.Pending {
		return "", fmt.Errorf("one ballot of two: %w", orNil(err))
	}
	if s.runs != 0 {
		return "", errors.New("the command ran without a certificate")
	}
	return "1 of 2: REFUSED pending, no certificate; the command has not run", nil
}

// certify adds a person's ballot, gets the certificate, and shows that it falls without one of its ballots.
func (s *stage) certify(ctx context.Context) (string, error) {
	ben := s.operators[1]
	v, err := s.view(ctx, ben)
	if err != nil {
		return "", err
	}
	if _, err := ben.Ballots().Vote(ctx, v, ballot.Approve("seen")); err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.cert, err = s.decision.Wait(limited); err != nil {
		return "", err
	}
	root := verify.TrustRoot{Realm: s.node.Realm()}
	if err := s.cert.Verify(root, s.action, time.Now().UnixMilli()); err != nil {
		return "", err
	}
	short, err := consensus.ParseCertificate(s.cert.Raw())
	if err != nil {
		return "", err
	}
	short.Ballots = short.Ballots[:1]
	raw, err := short.Encode()
	if err != nil {
		return "", err
	}
	if _, _, err := verify.Parse(raw, root); fault.CodeOf(err) != fault.NoQuorum {
		return "", fmt.Errorf("a certificate with one ballot taken out: %w", orNil(err))
	}
	return fmt.Sprintf("an agent and a person of two operators: %d ballots, %d bytes; with one ballot taken out: REFUSED no_quorum",
		s.cert.Ballots(), len(s.cert.Raw())), nil
}

func (s *stage) run(ctx context.Context) error {
	s.runs++
	code, err := s.prepared.Run(ctx, nil, s.config.Stdout, s.config.Stderr)
	s.exitCode = code
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

func (s *stage) otherAction(ctx context.Context) (string, error) {
	other := sdk.NewAction(s.action.Kind, s.action.Target, map[string][]string{"argv": {"something", "else"}})
	err := s.agents["treasurer"].Execute(ctx, s.decision, other, s.run)
	if fault.CodeOf(err) != fault.Misaddressed || s.runs != 0 {
		return "", fmt.Errorf("another command under this certificate, %d runs: %w", s.runs, orNil(err))
	}
	if err := s.cert.Verify(verify.TrustRoot{Realm: s.node.Realm()}, s.action, time.Now().UnixMilli()); err != nil {
		return "", err
	}
	return "the certificate verifies for this command; for another: REFUSED misaddressed", nil
}

func (s *stage) execute(ctx context.Context) (string, error) {
	err := s.agents["treasurer"].Execute(ctx, s.decision, s.action, s.run)
	if err != nil || s.runs != 1 {
		return "", fmt.Errorf("%d runs: %w", s.runs, orNil(err))
	}
	if s.workDir != "" {
		if _, err := os.Stat(filepath.Join(s.workDir, "proof.txt")); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%q ran once, from sealed copies, exit code %d", s.config.Command, s.exitCode), nil
}

func (s *stage) secondUse(ctx context.Context) (string, error) {
	err := s.agents["treasurer"].Execute(ctx, s.decision, s.action, s.run)
	if fault.CodeOf(err) != fault.Spent || s.runs != 1 {
		return "", fmt.Errorf("%d runs: %w", s.runs, orNil(err))
	}
	fresh, err := sdk.Connect(ctx, sdk.WithProfile(s.profiles["treasurer"])) // the same agent with another spent store
	if err != nil {
		return "", err
	}
	defer func() { _ = fresh.Close(ctx) }()
	d, err := fresh.Decision(ctx, s.decision.ID())
	if err != nil {
		return "", err
	}
	err = fresh.Execute(ctx, d, s.action, s.run)
	if fault.CodeOf(err) != fault.Misaddressed || s.runs != 1 {
		return "", fmt.Errorf("from another spent store, %d runs: %w", s.runs, orNil(err))
	}
	return "by the same executor: REFUSED spent; by its clone with an empty memory: REFUSED misaddressed", nil
}

func (s *stage) outcome(ctx context.Context) (string, error) {
	v, err := s.view(ctx, s.operators[0])
	if err != nil {
		return "", err
	}
	if v.State != "executed" {
		return "", fmt.Errorf("the registry says %s, not executed", v.State)
	}
	members, err := s.operators[0].Admin().Members(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range members {
		if m.Name == "treasurer" && m.Done == 1 {
			return "reported to the registry: executed; treasurer 1 done, 0 failed", nil
		}
	}
	return "", errors.New("the treasurer's record does not show it")
}

// verifyOffline gives the certificate to a fresh process that has no environment, and no network where the system lets
// us take it away.
func (s *stage) verifyOffline(ctx context.Context) (string, error) {
	path := filepath.Join(s.dir, "certificate.cbor")
	if err := os.WriteFile(path, s.cert.Raw(), 0o600); err != nil {
		return "", err
	}
	args := []string{"decision", "verify", path, "--realm", s.node.Realm().String(), "--json"}
	out, how, err := isolated(ctx, s.config.Self, args)
	if err != nil {
		return "", fmt.Errorf("offline verifier: %w: %s", err, out)
	}
	var report verify.Report
	if err := json.Unmarshal(out, &report); err != nil || !report.Valid {
		return "", fmt.Errorf("offline verifier: %s: %w", out, err)
	}
	broken := append([]byte{}, s.cert.Raw()...)
	broken[len(broken)/2] ^= 1
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		return "", err
	}
	if _, _, err := isolated(ctx, s.config.Self, args); err == nil {
		return "", errors.New("the offline verifier accepted a certificate with a changed bit")
	}
	return fmt.Sprintf("%d checks by a process %s, from the realm id alone; with one bit changed: REFUSED",
		len(report.Checks), how), nil
}
