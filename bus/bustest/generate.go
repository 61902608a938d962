package bustest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
)

// generate returns n subjects and patterns close to the allowed ones: each has some words replaced by wildcards, other
// principals, empty or strange words, some dropped and some added. It prints its seed.
func generate(t *testing.T, allowed []string, n int) []string {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	pool := []string{
		"*", ">", "", "a", "b", "c", "A", "ü", "x*", "req", "rep", "top", "ctl", "$SYS", "$JS", "_INBOX", " ",
		ID(identity.Agent, 1).String(), ID(identity.Agent, 2).String(), ID(identity.Node, 1).String(),
		strings.ToLower(ID(identity.Agent, 1).String()), strings.Repeat("z", 64),
	}
	for _, pattern := range allowed {
		pool = append(pool, strings.Split(pattern, ".")...)
	}
	out := make([]string, 0, n)
	for range n {
		words := strings.Split(allowed[r.IntN(len(allowed))], ".")
		for i, word := range words {
			if word == "*" || word == ">" || r.IntN(8) == 0 {
				words[i] = pool[r.IntN(len(pool))]
			}
		}
		switch r.IntN(8) {
		case 0:
			words = words[:len(words)-1]
		case 1:
			words = append(words, pool[r.IntN(len(pool))])
		}
		out = append(out, strings.Join(words, "."))
	}
	return out
}
