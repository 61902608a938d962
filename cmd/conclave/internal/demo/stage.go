package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/cmd/conclave/internal/guardexec"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/policy"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/verify"
)

// stage is the realm that the story plays in.
type stage struct {
	config  Config
	dir     string
	workDir string // where the command runs; empty: here

	node      *node.Node
	operators []*sdk.Agent // ana, ben, you
	signers   []identity.Signer
	agents    map[string]*sdk.Agent
	profiles  map[string]sdk.Profile
	refusals  map[string]chan fault.Code // what each agent refused
	handled   atomic.Int64               // requests that the researcher handled
	traffic   *tap

	prepared *guardexec.Prepared
	action   sdk.Action
	decision *sdk.Decision
	cert     *verify.Certificate
	runs     int
	exitCode int
}

const patience = 5 * time.Second // for anything that should happen at once

// cast is who plays, by the index of the operator who answers for each.
var cast = []struct {
	name     string
	operator int
	serves   []string
}{
	{"writer", 2, nil},
	{"researcher", 0, []string{"text.*"}},
	{"reviewer", 0, nil},
	{"intern", 1, nil},
	{"treasurer", 2, nil},
}

func (s *stage) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, a := range s.agents {
		_ = a.Close(ctx) // the realm is thrown away
	}
	for _, o := range s.operators {
		_ = o.Close(ctx)
	}
	if s.prepared != nil {
		_ = s.prepared.Close()
	}
	if s.node != nil {
		_ = s.node.Close()
	}
}

// realm makes a standard realm of three root operators, starts its node and connects the operators.
func (s *stage) realm(ctx context.Context) (string, error) {
	s.agents, s.profiles = map[string]*sdk.Agent{}, map[string]sdk.Profile{}
	s.refusals = map[string]chan fault.Code{}
	var roots []identity.ID
	for range 3 {
		signer, _, err := identity.GenerateSigner(identity.Operator)
		if err != nil {
			return "", err
		}
		s.signers = append(s.signers, signer)
		roots = append(roots, signer.ID())
	}
	slices.SortFunc(roots, identity.ID.Compare)
	p, err := policy.Preset(policy.Standard)
	if err != nil {
		return "", err
	}
	plan := node.Plan{Policy: p, Roots: roots, Place: node.Place{Listen: "127.0.0.1:0"}, Now: time.Now().UnixMilli()}
	if _, err := rand.Read(plan.Nonce[:]); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, "node")
	realm, err := node.Init(dir, plan)
	if err != nil {
		return "", err
	}
	if _, err := node.Open(ctx, node.Config{Dir: dir}); fault.CodeOf(err) != fault.NoQuorum {
		return "", fmt.Errorf("a node with an unsigned genesis: want no_quorum, got %w", orNil(err))
	}
	for _, signer := range s.signers[:p.Loosen] {
		if err := node.SignGenesis(dir, signer); err != nil {
			return "", err
		}
	}
	if s.node, err = node.Open(ctx, node.Config{Dir: dir}); err != nil {
		return "", err
	}
	if s.traffic, err = listen(s.node.Conn(), realm); err != nil {
		return "", err
	}
	for _, signer := range s.signers {
		o, err := sdk.Connect(ctx, sdk.WithProfile(s.profile(signer)))
		if err != nil {
			return "", err
		}
		s.operators = append(s.operators, o)
	}
	return fmt.Sprintf("%s… on %s: refused to start until %d of 3 roots had signed the genesis",
		realm.String()[:12], s.node.Addr(), p.Loosen), nil
}

var errNothing = errors.New("no error at all")

// orNil makes "it was accepted" printable.
func orNil(err error) error {
	if err == nil {
		return errNothing
	}
	return err
}

func (s *stage) profile(signer identity.Signer) sdk.Profile {
	return sdk.Profile{
		Realm: s.node.Realm(), Addresses: []string{s.node.Addr()}, Pins: []identity.ID{s.node.ID()}, Signer: signer,
	}
}

// enrol invites the cast; each makes its own key.
func (s *stage) enrol(ctx context.Context) (string, error) {
	for _, c := range cast {
		invitation, err := s.operators[c.operator].Admin().Invite(c.name, identity.Observer, c.serves, time.Minute)
		if err != nil {
			return "", err
		}
		_, profile, err := sdk.Enrol(ctx, invitation, sdk.KeepNothing())
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		s.profiles[c.name] = profile
		if _, _, err := sdk.Enrol(ctx, invitation, sdk.KeepNothing()); err == nil {
			return "", fmt.Errorf("%s: its token enrolled a second key", c.name)
		}
	}
	return fmt.Sprintf("%d agents by one-time tokens of three operators, each token good once; no shared secret", len(cast)), nil
}

// raise lifts the cast to L3, which loosens: two operators must sign, and of them nobody who answers for the agent.
func (s *stage) raise(ctx context.Context) (string, error) {
	for _, c := range cast {
		own, first, second := s.operators[c.operator], s.operators[(c.operator+1)%3], s.operators[(c.operator+2)%3]
		for _, with := range []*sdk.Agent{nil, own} {
			if err := s.lift(ctx, c.name, first, with); fault.CodeOf(err) != fault.NoQuorum {
				return "", fmt.Errorf("too few raised %s: %w", c.name, orNil(err))
			}
		}
		if err := s.lift(ctx, c.name, first, second); err != nil {
			return "", err
		}
		if err := s.connect(ctx, c.name); err != nil {
			return "", err
		}
	}
	return "all to L3 by two operators' signatures; by one's, or with that of the agent's own operator: REFUSED no_quorum", nil
}

// lift puts an agent at L3 by one operator's signature, and another's if there is one.
func (s *stage) lift(ctx context.Context, name string, first, second *sdk.Agent) error {
	body := registry.SetLevel{Principal: s.profiles[name].Signer.ID(), Level: identity.Journeyer}
	raw, err := first.Admin().Prepare(registry.TypeLevel, body, 0)
	if err != nil {
		return err
	}
	if second != nil {
		if raw, err = second.Admin().Countersign(raw); err != nil {
			return err
		}
	}
	_, err = first.Admin().Submit(ctx, raw)
	return err
}

func (s *stage) connect(ctx context.Context, name string) error {
	refused := make(chan fault.Code, 64)
	a, err := sdk.Connect(ctx, sdk.WithProfile(s.profiles[name]), sdk.WithLogger(slog.New(listener{refused})))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.agents[name], s.refusals[name] = a, refused
	return nil
}

// awaitRefusal returns the code with which the agent refused the next delivery.
func (s *stage) awaitRefusal(ctx context.Context, name string) (fault.Code, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case code := <-s.refusals[name]:
		return code, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s refused nothing within %s", name, patience)
	}
}

// expectRefusal publishes raw bytes as only a node can, and wants the agent to refuse them with the code.
func (s *stage) expectRefusal(ctx context.Context, name, subject string, raw []byte, want fault.Code) error {
	handled := s.handled.Load()
	if err := s.node.Conn().Publish(ctx, subject, raw); err != nil {
		return err
	}
	if err := s.traffic.await(ctx, subject, raw); err != nil {
		return err
	}
	code, err := s.awaitRefusal(ctx, name)
	if err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("refused with %s, not %s", code, want)
	}
	if n := s.handled.Load(); n != handled {
		return fmt.Errorf("refused, and handled all the same")
	}
	return nil
}

// requests returns the subject on which an agent's process hears requests of a sender.
func (s *stage) requests(to *sdk.Agent, process sdk.Digest, from sdk.ID) string {
	return bus.In(s.node.Realm()).Request(to.ID(), bus.TokenOf(process), from)
}
