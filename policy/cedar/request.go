package cedar

import (
	"fmt"
	"math"

	cedar "github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/policy"
)

// The types of entities.
const (
	agentType    = "Agent"
	operatorType = "Operator"
	actionType   = "Action"
	targetType   = "Target"
)

// question is a request in Cedar's words. Errors: [ErrUnjudged] for an amount or score that it cannot hold.
func question(r policy.Request) (cedar.Request, cedar.EntityMap, error) {
	amount, err := long("amount", r.Action.Amount)
	if err != nil {
		return cedar.Request{}, nil, err
	}
	principal, err := principalOf(r)
	if err != nil {
		return cedar.Request{}, nil, err
	}
	operator := cedar.Entity{UID: cedar.NewEntityUID(operatorType, cedar.String(r.Operator.String()))}
	resource := cedar.Entity{
		UID:        cedar.NewEntityUID(targetType, cedar.String(r.Action.Target)),
		Attributes: cedar.NewRecord(cedar.RecordMap{"text": cedar.String(r.Action.Target)}),
	}
	entities := cedar.EntityMap{operator.UID: operator, principal.UID: principal, resource.UID: resource}
	action := actionOf(r.Action.Kind, entities)
	return cedar.Request{
		Principal: principal.UID, Action: action, Resource: resource.UID,
		Context: cedar.NewRecord(cedar.RecordMap{
			"amount": amount, "class": cedar.Long(r.Class), "emergency": cedar.Boolean(r.Emergency),
			"permit": cedar.Boolean(r.Permit), "rollback": cedar.String(r.Action.Rollback), "params": params(r.Action.Params),
		}),
	}, entities, nil
}

func principalOf(r policy.Request) (cedar.Entity, error) {
	kind := cedar.EntityType(agentType)
	if r.Proposer.Role() == identity.Operator {
		kind = operatorType
	}
	operator := cedar.NewEntityUID(operatorType, cedar.String(r.Operator.String()))
	attributes := cedar.RecordMap{
		"id": cedar.String(r.Proposer.String()), "name": cedar.String(r.Name), "operator": operator,
		"level": cedar.Long(r.Level),
	}
	if r.Score != nil {
		score, err := long("score", *r.Score)
		if err != nil {
			return cedar.Entity{}, err
		}
		attributes["score"] = score
	}
	p := cedar.Entity{
		UID: cedar.NewEntityUID(kind, cedar.String(r.Proposer.String())), Attributes: cedar.NewRecord(attributes),
	}
	if p.UID != operator {
		p.Parents = cedar.NewEntityUIDSet(operator)
	}
	return p, nil
}

// actionOf adds the kind, and the patterns that match it as what it is in.
func actionOf(kind string, entities cedar.EntityMap) cedar.EntityUID {
	above := []cedar.EntityUID{cedar.NewEntityUID(actionType, "*")}
	for i, c := range kind {
		if c == '.' {
			above = append(above, cedar.NewEntityUID(actionType, cedar.String(kind[:i]+".*")))
		}
	}
	uid := cedar.NewEntityUID(actionType, cedar.String(kind))
	for _, a := range above {
		entities[a] = cedar.Entity{UID: a}
	}
	entities[uid] = cedar.Entity{
		UID: uid, Parents: cedar.NewEntityUIDSet(above...),
		Attributes: cedar.NewRecord(cedar.RecordMap{"kind": cedar.String(kind)}),
	}
	return uid
}

func params(all []consensus.Param) cedar.Record {
	out := make(cedar.RecordMap, len(all))
	for _, p := range all {
		values := make([]types.Value, len(p.Values))
		for i, v := range p.Values {
			values[i] = cedar.String(v)
		}
		out[cedar.String(p.Name)] = cedar.NewSet(values...)
	}
	return cedar.NewRecord(out)
}

func long(what string, n uint64) (cedar.Long, error) {
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%w: %s %d is above what Cedar counts to", ErrUnjudged, what, n)
	}
	return cedar.Long(n), nil
}
