package checks

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// features are what the statistics know of an action: whole numbers, so that every machine calculates the same.
type features [3]int64

var featureNames = [len(features{})]string{"amount", "length of its texts", "share of digits"}

// outlier rejects what is far from what was right before. It knows nothing of what actions mean, and is surer than it should be.
type outlier struct {
	seen map[string][]features // by kind
}

const (
	enough = 4   // actions of a kind, before anything is far from them
	far    = 20  // squared distance in variances
	always = 920 // how sure it is, whatever it says
)

func (o *outlier) judge(a sdk.Action) Opinion {
	known := o.seen[a.Kind]
	if len(known) < enough {
		return Opinion{Approve: true, Sure: always, Reason: "like all that it has seen, which is little"}
	}
	now := featuresOf(a)
	for i, name := range featureNames {
		mean, variance := spread(known, i)
		if d := now[i] - mean; d*d > far*variance {
			return Opinion{Sure: always, Reason: fmt.Sprintf("%s is %d, and usually about %d", name, now[i], mean)}
		}
	}
	return Opinion{Approve: true, Sure: always, Reason: fmt.Sprintf("like %d before", len(known))}
}

func (o *outlier) learn(a sdk.Action, right bool) {
	if right {
		o.seen[a.Kind] = append(o.seen[a.Kind], featuresOf(a))
	}
}

func featuresOf(a sdk.Action) features {
	var length, digits int64
	for _, p := range a.Params {
		for _, v := range p.Values {
			length += int64(len(v))
			for _, r := range v {
				if r >= '0' && r <= '9' {
					digits++
				}
			}
		}
	}
	return features{int64(min(a.Amount, 1<<30)), length, 1000 * digits / max(1, length)}
}

// spread returns the mean and the variance of one feature, the variance at least 1.
func spread(of []features, i int) (mean, variance int64) {
	n := int64(len(of))
	for _, f := range of {
		mean += f[i]
	}
	mean /= n
	for _, f := range of {
		variance += (f[i] - mean) * (f[i] - mean) / n
	}
	return mean, max(1, variance)
}
