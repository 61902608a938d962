package standing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// hash is the work: the SHA-256 of what was sent.
func hash(_ context.Context, d *sdk.Delivery) ([]byte, error) {
	sum := sha256.Sum256(d.Content)
	return sum[:], nil
}

// again attests by doing the work again.
func again(_ context.Context, c standing.Claim) (bool, error) {
	sum := sha256.Sum256(c.Request)
	if c.Capability != "file.hash" || !c.Answered || c.Failure != nil {
		return false, sdk.Errorf(code.NotFound, "no answer to check")
	}
	return bytes.Equal(c.Answer, sum[:]), nil
}

// ask has the work done and reports how it ended.
func ask(ctx context.Context, agent *sdk.Agent, content []byte) (trust.Effect, error) {
	following, exchange := standing.Follow(ctx)
	sum, err := sdk.CallBytes(following, agent, sdk.Any("file.hash"), content)
	want := sha256.Sum256(content)
	return agent.Standing().Report(ctx, standing.Outcome{
		Action: "file.hash", Exchange: exchange, OK: err == nil && bytes.Equal(sum, want[:]),
	})
}

// What the package's documentation shows is a whole: three agents of three operators, by the machine's own clock.
func TestWorkIsAttested(t *testing.T) {
	realm := sdktest.New(t, sdktest.Standard(3))
	worker, attester := realm.Agent(t, "worker", sdktest.Of(1)), realm.Agent(t, "attester", sdktest.Of(2), sdktest.Attests())
	if err := sdk.HandleBytes(worker, "file.hash", hash); err != nil {
		t.Fatal(err)
	}
	if err := attester.Standing().Attest(again, "file.hash"); err != nil {
		t.Fatal(err)
	}
	effect, err := ask(t.Context(), realm.Agent(t, "asker"), []byte("content"))
	if err != nil || effect.Subject != worker.ID() || effect.Weight <= 0 || effect.Class != 0 {
		t.Errorf("%+v %v", effect, err)
	}
}

func ExampleFollow() {
	_, exchange := standing.Follow(context.Background())
	_, called := exchange.Parts()
	fmt.Println(called)
	// Output: false
}
