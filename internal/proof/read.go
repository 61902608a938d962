package proof

import (
	"fmt"

	"github.com/seed-3e86d5b2/conclave/audit"
	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/merkle"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// parts is a certificate as read: what it says, and the exact bytes of what leaves name by their hash.
type parts struct {
	c                consensus.Certificate
	opening, verdict wire.Raw
	opened, decided  audit.Inclusion
}

// read reads a certificate's encoding item by item: it takes what [consensus.ParseCertificate] takes, with inclusions where they
// stand, and nothing else. Decoding by reflection and encoding again costs as much as a signature. What it returns aliases raw.
func read(raw []byte) (parts, error) {
	var p parts
	r := reader{wire.NewFieldReader(raw)}
	r.certificate(&p)
	if err := r.End(); err != nil {
		return parts{}, fmt.Errorf("certificate: %w", err)
	}
	if p.c.Version != consensus.FormatVersion {
		return parts{}, consensus.ErrVersion
	}
	return p, nil
}

// reader reads the structs that a certificate is made of. An absent field is zero.
type reader struct{ wire.FieldReader }

// Labels that must be there.
var (
	certificateHas = wire.Labels(0, 1, 2, 4, 5, 6, 7, 9, 10, 11)
	openingHas     = wire.Labels(1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13)
	ruleHas        = wire.Labels(1, 6, 7)
	verdictHas     = wire.Labels(1, 2, 3)
	inclusionHas   = wire.Labels(1)
	leafHas        = wire.Labels(1, 2, 4)
)

// since returns the bytes that were read since so many were left.
func (r *reader) since(raw []byte, left int) []byte {
	if r.Err() != nil {
		return nil
	}
	end := len(raw) - r.Len()
	return raw[len(raw)-left : end : end]
}

func (r *reader) certificate(p *parts) {
	c, raw := &p.c, r.Rest()
	r.Fields(certificateHas, 17, func(label uint64) {
		left := r.Len()
		switch label {
		case 0:
			c.Version = r.Number()
		case 1:
			r.Fixed(c.Realm[:])
		case 2:
			c.Genesis = r.Bytes()
		case 3:
			c.Rosters = r.list()
		case 4:
			c.Policy = r.Bytes()
		case 5:
			c.Proposal = r.Bytes()
		case 6:
			r.opening(&c.Opening)
			p.opening = r.since(raw, left)
		case 7:
			r.inclusion(&p.opened)
			c.Opened = r.since(raw, left)
		case 8:
			c.Ballots = r.list()
		case 9:
			r.verdict(&c.Verdict)
			p.verdict = r.since(raw, left)
		case 10:
			r.inclusion(&p.decided)
			c.Decided = r.since(raw, left)
		case 11:
			c.Head = r.Bytes()
		default:
			r.vouching(label, c)
		}
	})
}

// vouching reads what a certificate brings along about its parties and its policy.
func (r *reader) vouching(label uint64, c *consensus.Certificate) {
	switch label {
	case 12:
		c.Enrolments = r.list()
	case 13:
		c.Operators = r.list()
	case 14:
		c.Keys = r.list()
	case 15:
		c.Levels = r.list()
	case 16:
		c.Policies = r.list()
	case 17:
		if c.Before = r.Bytes(); len(c.Before) == 0 {
			r.Refuse("an empty field")
		}
	}
}

func (r *reader) opening(o *consensus.Opening) {
	r.Fields(openingHas, 15, func(label uint64) {
		switch label {
		case 1:
			r.Fixed(o.Proposal[:])
		case 2:
			r.Fixed(o.Action[:])
		case 3:
			r.Fixed(o.Policy[:])
		case 4:
			o.Class = consensus.Class(r.Byte())
		case 5:
			o.Level = r.Number()
		case 6:
			r.Fixed(o.Operator[:])
		case 7:
			o.Alone = r.True()
		case 8:
			r.rule(&o.Rule)
		case 9:
			o.Voters = r.voters()
		case 10:
			o.Index = r.Number()
		case 11:
			o.Opened = r.Int()
		case 12:
			o.Deadline = r.Int()
		case 13:
			r.Fixed(o.Key[:])
		case 14:
			o.Sum = r.Above()
		case 15:
			o.Emergency = r.True()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) rule(o *consensus.Rule) {
	r.Fields(ruleHas, 14, func(label uint64) {
		switch label {
		case 1:
			o.Approvals = r.Number()
		case 2:
			o.People = r.Above()
		case 3:
			o.Operators = r.Above()
		case 4:
			o.Share = r.Above()
		case 5:
			o.Own = r.True()
		case 6:
			o.Deadline = r.Int()
		case 7:
			o.Window = r.Int()
		case 8:
			o.Families = r.Above()
		case 9:
			o.OperatorCap = r.Above()
		case 10:
			o.FamilyCap = r.Above()
		case 11:
			o.Faults = r.Above()
		case 12:
			o.Confidence = r.Above()
		case 13:
			o.Stewards = r.Above()
		case 14:
			o.Commit = r.NonZero()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) voters() []consensus.Voter {
	voters := make([]consensus.Voter, r.Some())
	for i := range voters {
		if r.Err() != nil {
			return nil
		}
		r.voter(&voters[i])
	}
	return voters
}

func (r *reader) voter(v *consensus.Voter) {
	if r.Array(8) != 8 {
		r.Refuse("a voter of other fields")
	}
	r.Fixed(v.ID[:])
	r.Fixed(v.Key[:])
	r.Fixed(v.Operator[:])
	v.Level, v.Weight = r.Number(), r.Number()
	v.Family = string(r.Text())
	v.Calibration, v.Silenced = r.Number(), r.Bool()
}

func (r *reader) verdict(v *consensus.Verdict) {
	r.Fields(verdictHas, 5, func(label uint64) {
		switch label {
		case 1:
			r.Fixed(v.Proposal[:])
		case 2:
			v.State = consensus.State(r.Byte())
		case 3:
			v.At = r.Int()
		case 4:
			v.Until = r.NonZero()
		case 5:
			v.From = r.NonZero()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) inclusion(i *audit.Inclusion) {
	r.Fields(inclusionHas, 2, func(label uint64) {
		switch label {
		case 1:
			r.leaf(&i.Leaf)
		case 2:
			i.Path = make([]merkle.Hash, r.Some())
			for at := range i.Path {
				r.Fixed(i.Path[at][:])
			}
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) leaf(l *audit.Leaf) {
	r.Fields(leafHas, 4, func(label uint64) {
		switch label {
		case 1:
			l.Index = r.Number()
		case 2:
			r.Fixed(l.Command[:])
		case 3:
			l.Verdict = fault.Code(r.Words())
		case 4:
			r.Fixed(l.Result[:])
		default:
			r.Refuse("unknown label")
		}
	})
}

// list reads an array of byte strings.
func (r *reader) list() [][]byte {
	list := make([][]byte, r.Some())
	for i := range list {
		list[i] = r.Bytes()
	}
	return list
}
