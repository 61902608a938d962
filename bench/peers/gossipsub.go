package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	topicName = "bench"
	// stall is how long a round may see no message before it counts as lost.
	stall = 10 * time.Second
)

var (
	errLost    = errors.New("messages were lost")
	errStrange = errors.New("a message came that was not sent, or twice")
)

// newHost returns a libp2p host that speaks TCP with Noise and yamux on the loopback and nothing else.
func newHost() (host.Host, error) {
	return libp2p.New(
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New), libp2p.DisableRelay(), libp2p.DisableMetrics(),
	)
}

// party is one host in the topic.
type party struct {
	host  host.Host
	topic *pubsub.Topic
}

// join opens a host in the topic. Every queue takes a whole window, so that what gossipsub drops by design when a queue
// is full is not dropped here; the README lists what is not default.
func join(ctx context.Context, window int) (party, error) {
	h, err := newHost()
	if err != nil {
		return party{}, err
	}
	room := 2 * (window + 16)
	router, err := pubsub.NewGossipSub(ctx, h, pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithPeerOutboundQueueSize(room), pubsub.WithValidateQueueSize(room))
	if err != nil {
		return party{}, errors.Join(err, h.Close())
	}
	topic, err := router.Join(topicName)
	if err != nil {
		return party{}, errors.Join(err, h.Close())
	}
	return party{h, topic}, nil
}

// gossipsub sends the workload from one host to another, round by round, over one connection.
func gossipsub(ctx context.Context, w workload) (rounds []round, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, err := join(ctx, w.window)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.host.Close()) }()
	to, err := join(ctx, w.window)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.host.Close()) }()
	sub, err := to.topic.Subscribe(pubsub.WithBufferSize(2 * w.window))
	if err != nil {
		return nil, err
	}
	defer sub.Cancel()
	leave, err := from.topic.Relay() // makes the sender part of the topic's mesh without hearing itself
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := from.host.Connect(ctx, peer.AddrInfo{ID: to.host.ID(), Addrs: to.host.Addrs()}); err != nil {
		return nil, err
	}
	s := stream{from: from, sub: sub, workload: w}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	for range w.rounds {
		one, err := s.round(ctx)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, one)
	}
	return rounds, nil
}

// stream is one sender and one receiver that know of each other.
type stream struct {
	workload
	from party
	sub  *pubsub.Subscription
	sent uint64 // messages in all rounds; each carries its number
}

// begin sends one message, which waits until the sender has a peer in its mesh, and receives it.
func (s *stream) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stall)
	defer cancel()
	if err := s.from.topic.Publish(ctx, s.message(0), pubsub.WithReadiness(pubsub.MinTopicSize(1))); err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	if _, err := s.sub.Next(ctx); err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	s.sent++
	return nil
}

func (s *stream) message(n uint64) []byte {
	data := make([]byte, s.size) // not reused: gossipsub keeps it for its history
	binary.BigEndian.PutUint64(data, n)
	return data
}

// round sends and receives all messages, with no more than the window under way.
func (s *stream) round(ctx context.Context) (round, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	credit := make(chan struct{}, s.window)
	received := make(chan error, 1)
	usedBefore, err := cpuTime()
	if err != nil {
		return round{}, err
	}
	began := time.Now()
	go func() {
		err := s.receive(ctx, credit)
		if err != nil {
			cancel(err)
		}
		received <- err
	}()
	sendErr := s.send(ctx, credit)
	if sendErr != nil {
		cancel(sendErr)
	}
	if err := errors.Join(sendErr, <-received); err != nil {
		return round{}, err
	}
	took := time.Since(began)
	used, err := cpuTime()
	s.sent += uint64(s.messages)
	return round{messages: s.messages, took: took, cpu: used - usedBefore}, err
}

// send takes a place in credit for each message; receive gives it back.
func (s *stream) send(ctx context.Context, credit chan<- struct{}) error {
	for i := range s.messages {
		select {
		case credit <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := s.from.topic.Publish(ctx, s.message(s.sent+uint64(i))); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// receive returns when every message of the round has come once. The router has verified their signatures: with
// StrictSign it delivers nothing else. Its workers verify side by side, so the order may change within the window.
func (s *stream) receive(ctx context.Context, credit <-chan struct{}) error {
	come := make([]bool, s.messages)
	for i := range s.messages {
		m, err := s.next(ctx)
		if err != nil {
			return fmt.Errorf("after %d of %d: %w", i, s.messages, err)
		}
		if len(m.Data) != s.size || m.ReceivedFrom != s.from.host.ID() || len(m.Signature) == 0 {
			return errStrange
		}
		n := binary.BigEndian.Uint64(m.Data) - s.sent // wraps around for older ones
		if n >= uint64(s.messages) || come[n] {
			return fmt.Errorf("%w: number %d", errStrange, n)
		}
		come[n] = true
		<-credit
	}
	return nil
}

func (s *stream) next(ctx context.Context) (*pubsub.Message, error) {
	bounded, cancel := context.WithTimeout(ctx, stall)
	defer cancel()
	m, err := s.sub.Next(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return nil, errLost
	}
	return m, err
}
