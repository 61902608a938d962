package consensus

import (
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Labels that must be there.
var (
	proposalHas = wire.Labels(0, 1, 2, 3, 4, 7, 8, 9)
	actionHas   = wire.Labels(1)
	permitHas   = wire.Labels(1, 2)
)

// DecodePayload reads the encoding of a proposal and refuses all else, as [wire.Decode] does.
func (p *Proposal) DecodePayload(payload []byte) error {
	*p = Proposal{}
	r := fieldReader{wire.NewFieldReader(payload)}
	r.Fields(proposalHas, 13, func(label uint64) {
		switch label {
		case 0:
			p.Version = r.Number()
		case 1:
			r.Fixed(p.Proposer[:])
		case 2:
			r.action(&p.Action)
		case 3:
			r.Fixed(p.Executor[:])
		case 4:
			r.Fixed(p.Store[:])
		case 5:
			p.Class = r.class()
		case 6:
			p.Reason = r.Words()
		case 7:
			p.Issued = r.Int()
		case 8:
			p.Expires = r.Int()
		case 9:
			r.Fixed(p.Nonce[:])
		default:
			r.bounds(label, p)
		}
	})
	return r.End()
}

// fieldReader reads what a proposal is made of. An absent field is zero.
type fieldReader struct{ wire.FieldReader }

// bounds reads what a proposal need not say.
func (r *fieldReader) bounds(label uint64, p *Proposal) {
	switch label {
	case 10:
		p.NotBefore = r.NonZero()
	case 11:
		p.Beneficiaries = make([]identity.ID, r.Some())
		for i := range p.Beneficiaries {
			r.Fixed(p.Beneficiaries[i][:])
		}
	case 12:
		p.Permit = &Permit{}
		r.permit(p.Permit)
	case 13:
		p.Emergency = r.True()
	}
}

func (r *fieldReader) class() Class {
	c := Class(r.Byte())
	if c == 0 {
		r.Refuse("an empty field")
	}
	return c
}

func (r *fieldReader) action(a *Action) {
	r.Fields(actionHas, 5, func(label uint64) {
		switch label {
		case 1:
			a.Kind = string(r.Text())
		case 2:
			a.Target = r.Words()
		case 3:
			a.Params = r.params()
		case 4:
			a.Amount = r.Above()
		case 5:
			a.Rollback = r.Words()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *fieldReader) permit(p *Permit) {
	r.Fields(permitHas, 4, func(label uint64) {
		switch label {
		case 1:
			p.Uses = r.Number()
		case 2:
			p.Until = r.Int()
		case 3:
			p.Open = r.params()
		case 4:
			p.Targets = r.texts(r.Some())
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *fieldReader) params() []Param {
	params := make([]Param, r.Some())
	for i := range params {
		if r.Array(2) != 2 {
			r.Refuse("a parameter of other fields")
		}
		if r.Err() != nil {
			return nil
		}
		params[i].Name = string(r.Text())
		params[i].Values = r.texts(r.Any())
	}
	return params
}

func (r *fieldReader) texts(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = string(r.Text())
	}
	return texts
}
