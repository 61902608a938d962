package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// echoCapability is what the agents of the benchmarks serve.
const echoCapability = "bench.echo"

// caller sends one request, waits for its reply, and says what came.
type caller func(ctx context.Context, content []byte) ([]byte, error)

// measureRTT compares a request and its reply with those of plain NATS.
func measureRTT(ctx context.Context, b *bout) (Result, error) {
	r, err := openRealm(ctx, b)
	if err != nil {
		return Result{}, err
	}
	agents, err := r.agents(ctx, 2)
	if err != nil {
		return Result{}, err
	}
	if err := sdk.HandleBytes(agents[1], echoCapability, echo); err != nil {
		return Result{}, err
	}
	conns, err := connectPlain(ctx, b, 2)
	if err != nil {
		return Result{}, err
	}
	if err := answerPlain(conns[1], echoCapability); err != nil {
		return Result{}, err
	}
	to := sdk.To(agents[1].ID().String(), echoCapability)
	ours := func(ctx context.Context, content []byte) ([]byte, error) {
		return sdk.CallBytes(ctx, agents[0], to, content)
	}
	result, err := b.hold(ctx, plan{
		what: "one agent's requests to another one, each after the last one's reply, encrypted, signed, verified and " +
			"replay-checked both ways, and to plain request and reply",
		unit: "us", lower: true, window: 1, delay: "request to reply", scale: "us",
		bound: "two signatures and two checks, one after the other, on top of the plain round trip",
		ours:  callsInTurn(b, "conclave", ours), peer: callsInTurn(b, plainName, callPlain(conns[0], echoCapability)),
	})
	if err != nil {
		return Result{}, err
	}
	crypto := 2 * (result.Crypto.Sign + result.Crypto.Verify) / 1000
	result.FloorP50 = result.Peer + crypto
	result.CryptoRatio = over(result.Ours-result.Peer, crypto)
	return result, nil
}

// echo answers with what was asked.
func echo(_ context.Context, d *sdk.Delivery) ([]byte, error) { return d.Content, nil }

// answerPlain answers requests on a subject with what was asked.
func answerPlain(nc *nats.Conn, subject string) error {
	if _, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil { // a lost reply is seen by who waits
		return fmt.Errorf("bench: %w", err)
	}
	return nc.Flush()
}

func callPlain(nc *nats.Conn, subject string) caller {
	return func(ctx context.Context, content []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		m, err := nc.RequestWithContext(ctx, subject, content)
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		return m.Data, nil
	}
}

// callsInTurn makes one call after the other; the value is the median time of one.
func callsInTurn(b *bout, name string, call caller) contender {
	content := filler(b.Size)
	return contender{name: name, run: func(ctx context.Context) (sample, error) {
		delays := make([]float64, 0, b.Messages)
		s, err := timed(b.Messages, func() error {
			for i := range b.Messages {
				write(content, 0, uint64(i), time.Time{})
				began := time.Now()
				reply, err := call(ctx, content)
				if err != nil {
					return err
				}
				delays = append(delays, micros(time.Since(began)))
				if !bytes.Equal(reply, content) {
					return fmt.Errorf("%w: the reply to request %d", errLost, i)
				}
			}
			return nil
		})
		s.value, s.delays = percentile(delays, 50), delays
		return s, err
	}}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
