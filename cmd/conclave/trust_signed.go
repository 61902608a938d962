package main

import (
	"context"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
)

// looks bounds how often a standing is compared with what the nodes have signed: it may change between the two questions.
const looks = 3

// stands returns where an agent stands, as the node tells it, if it says of name, operator, level and status what a majority
// of the nodes has signed.
func (s session) stands(ctx context.Context, name string) (v standing.View, err error) {
	for range looks {
		who, failure := s.who(ctx, name)
		if failure != nil {
			return v, failure
		}
		if v, failure = s.Standing().Of(ctx, who.ID.String()); failure != nil {
			return v, failure
		}
		if err = agrees(v, who); err == nil {
			break
		}
	}
	return v, err
}

// agrees refuses a standing that says something else of an agent than what was verified.
func agrees(told standing.View, signed sdk.Peer) error {
	if told.ID == signed.ID && told.Name == signed.Name && told.Operator == signed.Operator && told.Level == signed.Level &&
		told.Status.String() == signed.Status {
		return nil
	}
	return fault.New(fault.BadSignature, fmt.Sprintf("the node tells of %s that it is %s, %s; what the nodes have signed says %s, %s",
		visible(signed.Name), told.Level, told.Status, signed.Level, visible(signed.Status))).
		WithHint("ask another node; see which there are: conclave cluster members")
}
