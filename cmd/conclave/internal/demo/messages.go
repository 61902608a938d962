package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/trust"
)

type ask struct {
	Text string `json:"text" jsonschema:"text to summarise"`
}

type answer struct {
	Summary string `json:"summary"`
}

// summarise is what the researcher serves.
func (s *stage) summarise(_ context.Context, r *sdk.Request[ask]) (answer, error) {
	s.handled.Add(1)
	text := []rune(r.Data.Text)
	return answer{fmt.Sprintf("%s… for %s (%s)", string(text[:min(len(text), 12)]), r.From.Name, r.From.Level)}, nil
}

func (s *stage) discover(ctx context.Context) (string, error) {
	if err := sdk.Handle(s.agents["researcher"], "text.summarise", s.summarise); err != nil {
		return "", err
	}
	if err := sdk.Handle(s.agents["writer"], "text.summarise", s.summarise); fault.CodeOf(err) != fault.Denied {
		return "", fmt.Errorf("writer serves what it was not granted: %w", orNil(err))
	}
	for f, err := range s.agents["writer"].Discover(ctx, sdk.Query{Capability: "text.summarise"}) {
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("text.summarise -> %s (%s; card, ticket and presence verified); ungranted: REFUSED denied",
			f.Peer.Name, f.Peer.Level), nil
	}
	return "", errors.New("nobody serves text.summarise")
}

// summary makes one honest call and returns what the bus saw of it.
func (s *stage) summary(ctx context.Context, from string) (answer, sighting, error) {
	s.traffic.drain()
	before := s.handled.Load()
	out, err := sdk.Call[answer](ctx, s.agents[from], sdk.Any("text.summarise"), ask{"To be, or not to be"})
	if err != nil {
		return out, sighting{}, err
	}
	if s.handled.Load() != before+1 {
		return out, sighting{}, errors.New("the handler did not run exactly once")
	}
	seen, err := s.traffic.next(ctx)
	return out, seen, err
}

func (s *stage) call(ctx context.Context) (string, error) {
	if _, _, err := s.summary(ctx, "writer"); err != nil { // the first call also makes the acquaintance
		return "", err
	}
	began := time.Now()
	out, seen, err := s.summary(ctx, "writer")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%q  signed, sealed, answered in %s; the node saw %d sealed bytes",
		out.Summary, time.Since(began).Round(100*time.Microsecond), len(seen.raw)), nil
}

func (s *stage) replay(ctx context.Context) (string, error) {
	_, seen, err := s.summary(ctx, "writer")
	if err != nil {
		return "", err
	}
	return "accepted once; the same envelope again: REFUSED replayed",
		s.expectRefusal(ctx, "researcher", seen.on, seen.raw, fault.Replayed)
}

func (s *stage) forge(ctx context.Context) (string, error) {
	_, seen, err := s.summary(ctx, "writer")
	if err != nil {
		return "", err
	}
	forged := slices.Clone(seen.raw)
	forged[len(forged)-1] ^= 1
	return "accepted as sent; with one bit changed: REFUSED bad_signature",
		s.expectRefusal(ctx, "researcher", seen.on, forged, fault.BadSignature)
}

func (s *stage) misdirect(ctx context.Context) (string, error) {
	_, seen, err := s.summary(ctx, "writer")
	if err != nil {
		return "", err
	}
	treasurer := s.agents["treasurer"]
	to := bus.In(s.node.Realm()).Request(treasurer.ID(), bus.TokenOf(treasurer.Self().Process), seen.subject.From)
	return "accepted by the researcher; delivered to the treasurer instead: REFUSED misaddressed",
		s.expectRefusal(ctx, "treasurer", to, seen.raw, fault.Misaddressed)
}

// client is an agent's process without the SDK: what a program that obeys no rules can do.
type client struct {
	process *identity.Process
	conn    bus.Conn
	refused chan error
}

func (s *stage) dial(ctx context.Context, signer identity.Signer) (*client, error) {
	now := time.Now().UnixMilli()
	process, err := identity.NewProcess(s.node.Realm(), signer, uint64(now/1000), now, 60_000)
	if err != nil {
		return nil, err
	}
	c := &client{process: process, refused: make(chan error, 8)}
	c.conn, err = natsbus.Dial(ctx, natsbus.Options{
		Addresses: []string{s.node.Addr()}, Pins: []identity.ID{s.node.ID()}, Refusals: 1,
		Present: func() (natsbus.Presentation, error) {
			return natsbus.Presentation{Connect: process.Connect(), Statement: process.Credential().Raw()}, nil
		},
		Observer: bus.Observer{Refused: func(err error) { c.refused <- err }},
	})
	return c, err
}

func (s *stage) overreach(ctx context.Context) (string, error) {
	c, err := s.dial(ctx, s.profiles["writer"].Signer)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.conn.Close(ctx) }()
	researcher := s.agents["researcher"]
	own := s.requests(researcher, researcher.Self().Process, c.process.Principal())
	s.traffic.drain()
	if err := c.conn.Publish(ctx, own, []byte("x")); err != nil {
		return "", err
	}
	if seen, err := s.traffic.next(ctx); err != nil || seen.on != own {
		return "", fmt.Errorf("its own subject did not carry its message: %w", err)
	}
	if _, err := s.awaitRefusal(ctx, "researcher"); err != nil { // "x" is no envelope
		return "", err
	}
	others := s.requests(researcher, researcher.Self().Process, s.agents["treasurer"].ID())
	if err := c.conn.Publish(ctx, others, []byte("x")); err != nil {
		return "", err
	}
	select {
	case err := <-c.refused:
		if fault.CodeOf(err) != fault.Denied {
			return "", err
		}
	case <-time.After(patience):
		return "", errors.New("publishing as somebody else was not refused")
	}
	return "a raw NATS client publishes as itself; as the treasurer: REFUSED denied", nil
}

func (s *stage) stranger(ctx context.Context) (string, error) {
	c, err := s.dial(ctx, s.profiles["writer"].Signer)
	if err != nil {
		return "", fmt.Errorf("an enrolled key: %w", err)
	}
	_ = c.conn.Close(ctx)
	unknown, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		return "", err
	}
	if _, err := s.dial(ctx, unknown); fault.CodeOf(err) != fault.Denied {
		return "", fmt.Errorf("an unknown key connected: %w", orNil(err))
	}
	return "an enrolled key connects; a key that nobody invited: REFUSED denied", nil
}

// steal lets the node use a token that it has seen: it lacks the one-time key's seed.
func (s *stage) steal(ctx context.Context) (string, error) {
	text, err := s.operators[0].Admin().Invite("newcomer", identity.Observer, nil, time.Minute)
	if err != nil {
		return "", err
	}
	invitation, _, err := identity.ParseInvitation(text)
	if err != nil {
		return "", err
	}
	evil, _, err := identity.GenerateSigner(identity.Agent)
	if err != nil {
		return "", err
	}
	other, err := wire.GenerateKey(nil)
	if err != nil {
		return "", err
	}
	now := time.Now().UnixMilli()
	enrolment, err := evil.Cosign(s.node.Realm(), identity.Enrolment{
		Version: 1, Token: invitation.Token, Agent: evil.ID(), Issued: now,
	}, other)
	if err != nil {
		return "", err
	}
	command, err := registry.New(evil.ID(), registry.TypeEnrol, registry.Enrol{Enrolment: enrolment}, [16]byte{1}, now)
	if err != nil {
		return "", err
	}
	raw, err := evil.Cosign(s.node.Realm(), command)
	if err != nil {
		return "", err
	}
	refused, err := s.node.Submit(ctx, raw)
	if err == nil {
		err = refused.Err()
	}
	if fault.CodeOf(err) != fault.NoQuorum {
		return "", fmt.Errorf("the node enrolled a key of its own: %w", orNil(err))
	}
	if _, _, err := sdk.Enrol(ctx, text, sdk.KeepNothing()); err != nil {
		return "", fmt.Errorf("the invited agent itself: %w", err)
	}
	return "the node enrols a key of its own with it: REFUSED no_quorum; the invited agent: accepted", nil
}

func (s *stage) quarantine(ctx context.Context) (string, error) {
	if _, _, err := s.summary(ctx, "intern"); err != nil {
		return "", fmt.Errorf("the intern before: %w", err)
	}
	ben := s.operators[1].Admin()
	id := s.agents["intern"].ID()
	raw, err := ben.Prepare(registry.TypeStatus, registry.SetStatus{Principal: id, Status: trust.Quarantined, Reason: "demo"}, 0)
	if err != nil {
		return "", err
	}
	began := time.Now()
	if _, err := ben.Submit(ctx, raw); err != nil {
		return "", err
	}
	took := time.Since(began)
	s.traffic.drain()
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := sdk.Call[answer](limited, s.agents["intern"], sdk.Any("text.summarise"), ask{"let me in"}); err == nil {
		return "", errors.New("the intern was answered")
	}
	if _, err := s.dial(ctx, s.profiles["intern"].Signer); fault.CodeOf(err) != fault.Denied {
		return "", fmt.Errorf("the intern connected again: %w", orNil(err))
	}
	return fmt.Sprintf("the intern was answered before; one operator's word, %s later: REFUSED, cut, and not let in again",
		took.Round(100*time.Microsecond)), nil
}
