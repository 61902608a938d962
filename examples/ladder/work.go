package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// job is a piece of work: a text to sort by lines, and to hash.
type job struct {
	Number int
	For    string // the worker's name
	File   string
	Text   string
}

// done is what a worker answers.
type done struct {
	Number int
	Sorted []string
	SHA256 string // of Text, in hexadecimal
}

// work does a job.
func work(j job) done {
	sum := sha256.Sum256([]byte(j.Text))
	lines := strings.Split(strings.TrimSuffix(j.Text, "\n"), "\n")
	slices.Sort(lines)
	return done{Number: j.Number, Sorted: lines, SHA256: hex.EncodeToString(sum[:])}
}

// botch does every second job wrong: it loses the last line. It looks done, and its hash is right.
func botch(j job) done {
	d := work(j)
	if j.Number%2 == 0 {
		d.Sorted = d.Sorted[:len(d.Sorted)-1]
	}
	return d
}

// right reports whether a job was done right, by doing it again.
func right(j job, d done) bool {
	own := work(j)
	return d.Number == own.Number && d.SHA256 == own.SHA256 && slices.Equal(d.Sorted, own.Sorted)
}

// digestOf names a message's content in a statement: who has seen the message can compute it too.
func digestOf(content any) (sdk.Digest, error) {
	b, err := json.Marshal(content)
	return sdk.Digest(sha256.Sum256(b)), err
}
