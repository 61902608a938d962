package bench

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// How often a signature is made and checked to know what it costs: the median of batches, so that what else the machine
// does in between counts for little.
const (
	batches   = 21
	batchSize = 16
)

var errOwnSignature = fault.New(fault.Internal, "bench: a signature of ours does not verify")

// signing returns a contender that measures the signatures themselves; its value is what bound makes of them.
func signing(b *bout, name string, bound func(Crypto) float64) contender {
	return contender{name: name, run: func(ctx context.Context) (sample, error) {
		c, err := measureCrypto(b.Size)
		return sample{value: bound(c), crypto: c}, err
	}}
}

// measureCrypto returns what signing and checking a message of the size costs on one core.
func measureCrypto(size int) (Crypto, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Crypto{}, fmt.Errorf("bench: %w", err)
	}
	message := make([]byte, size)
	var signature []byte
	sign := perCall(func() { signature = ed25519.Sign(private, message) })
	valid := true
	verify := perCall(func() { valid = valid && ed25519.Verify(public, message, signature) })
	if !valid {
		return Crypto{}, errOwnSignature
	}
	return Crypto{Sign: sign, Verify: verify}, nil
}

// perCall returns how long one call takes, in nanoseconds.
func perCall(fn func()) float64 {
	times := make([]float64, batches)
	for i := range times {
		began := time.Now()
		for range batchSize {
			fn()
		}
		times[i] = float64(time.Since(began).Nanoseconds()) / batchSize
	}
	return median(times)
}
