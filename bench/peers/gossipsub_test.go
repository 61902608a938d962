package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"
)

func TestGossipsub(t *testing.T) {
	var out bytes.Buffer
	args := []string{"gossipsub", "--json", "--messages", "200", "--size", "256", "--window", "16", "--rounds", "3"}
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Name != "gossipsub" || r.Unit != "msg/s" || r.Value <= 0 || r.CPU <= 0 || len(r.Rounds) != 3 {
		t.Errorf("result %+v", r)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nats"}, {"gossipsub", "--size", "7"}, {"gossipsub", "--messages", "0"}, {"gossipsub", "--window", "0"},
		{"gossipsub", "--rounds", "0"}, {"gossipsub", "more"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%v: got %v", args, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ended, []string{"gossipsub", "--messages", "1"}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}

func TestSummary(t *testing.T) {
	r := summarize("x", []round{
		{100, time.Second, time.Millisecond}, {100, time.Second / 2, 2 * time.Millisecond},
		{100, time.Second / 4, 3 * time.Millisecond}, {100, time.Second / 4, 4 * time.Millisecond},
	})
	if r.Value != 300 || r.Spread != 1 || r.CPU != 25 {
		t.Errorf("got %+v", r)
	}
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median of three: %v", m)
	}
}
