package main

import (
	"fmt"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
)

// workload is what one measurement sends.
type workload struct {
	messages int // of one round
	size     int // bytes of each
	window   int // published and not yet received, at most
	rounds   int
}

// round is what one round took.
type round struct {
	messages int
	took     time.Duration // from the first publish to the last receipt
	cpu      time.Duration // of the whole process meanwhile, sender and receiver, user and system
}

// result is the form in which all measurements are printed.
type result struct {
	Name     string            `json:"name"`
	Unit     string            `json:"unit"`
	Value    float64           `json:"value"`  // median of rounds
	Spread   float64           `json:"spread"` // (highest - lowest) / median
	Rounds   []float64         `json:"rounds"`
	CPU      float64           `json:"cpu_us"` // µs a message, median
	Versions map[string]string `json:"versions"`
}

func summarize(name string, rounds []round) result {
	r := result{Name: name, Unit: "msg/s", Versions: versions()}
	var cpu []float64
	for _, one := range rounds {
		r.Rounds = append(r.Rounds, float64(one.messages)/one.took.Seconds())
		cpu = append(cpu, float64(one.cpu.Nanoseconds())/1e3/float64(one.messages))
	}
	r.Value, r.CPU = median(r.Rounds), median(cpu)
	r.Spread = (slices.Max(r.Rounds) - slices.Min(r.Rounds)) / r.Value
	return r
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// versions tells what was measured.
func versions() map[string]string {
	v := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v["go"] = info.GoVersion
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/libp2p/go-libp2p":
			v["go-libp2p"] = module.Version
		case "github.com/libp2p/go-libp2p-pubsub":
			v["go-libp2p-pubsub"] = module.Version
		}
	}
	return v
}

// cpuTime returns the CPU time that this process has used, user and system.
func cpuTime() (time.Duration, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}
