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
	r := reader{wire.NewReader(raw)}
	r.certificate(&p)
	if err := r.End(); err != nil {
		return parts{}, fmt.Errorf("certificate: %w", err)
	}
	if p.c.Version != consensus.FormatVersion {
		return parts{}, consensus.ErrVersion
	}
	return p, nil
}

// reader reads the structs that a certificate is made of. An absent field is zero, and a field of zero must be absent where
// the struct's encoding omits it.
type reader struct{ wire.Reader }

// has says which labels must be there.
func has(labels ...uint64) (set uint64) {
	for _, label := range labels {
		set |= 1 << label
	}
	return set
}

var (
	certificateHas = has(0, 1, 2, 4, 5, 6, 7, 9, 10, 11)
	openingHas     = has(1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13)
	ruleHas        = has(1, 6, 7)
	verdictHas     = has(1, 2, 3)
	inclusionHas   = has(1)
	leafHas        = has(1, 2, 4)
)

// fields reads a map with labels up to most, each once, ascending, and those that it must have; field reads a label's value.
func (r *reader) fields(must, most uint64, field func(label uint64)) {
	var seen, least uint64
	for range r.Map(int(most) + 1) {
		label := r.Uint(most)
		if r.Err() != nil {
			return
		}
		if label < least {
			r.Refuse("labels repeated or out of order")
			return
		}
		seen, least = seen|1<<label, label+1
		field(label)
	}
	if seen&must != must {
		r.Refuse("a field is missing")
	}
}

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
	r.fields(certificateHas, 17, func(label uint64) {
		left := r.Len()
		switch label {
		case 0:
			c.Version = r.number()
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
	r.fields(openingHas, 15, func(label uint64) {
		switch label {
		case 1:
			r.Fixed(o.Proposal[:])
		case 2:
			r.Fixed(o.Action[:])
		case 3:
			r.Fixed(o.Policy[:])
		case 4:
			o.Class = consensus.Class(r.byte())
		case 5:
			o.Level = r.number()
		case 6:
			r.Fixed(o.Operator[:])
		case 7:
			o.Alone = r.set()
		case 8:
			r.rule(&o.Rule)
		case 9:
			o.Voters = r.voters()
		case 10:
			o.Index = r.number()
		case 11:
			o.Opened = r.Int()
		case 12:
			o.Deadline = r.Int()
		case 13:
			r.Fixed(o.Key[:])
		case 14:
			o.Sum = r.above()
		case 15:
			o.Emergency = r.set()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) rule(o *consensus.Rule) {
	r.fields(ruleHas, 14, func(label uint64) {
		switch label {
		case 1:
			o.Approvals = r.number()
		case 2:
			o.People = r.above()
		case 3:
			o.Operators = r.above()
		case 4:
			o.Share = r.above()
		case 5:
			o.Own = r.set()
		case 6:
			o.Deadline = r.Int()
		case 7:
			o.Window = r.Int()
		case 8:
			o.Families = r.above()
		case 9:
			o.OperatorCap = r.above()
		case 10:
			o.FamilyCap = r.above()
		case 11:
			o.Faults = r.above()
		case 12:
			o.Confidence = r.above()
		case 13:
			o.Stewards = r.above()
		case 14:
			o.Commit = r.time()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) voters() []consensus.Voter {
	voters := make([]consensus.Voter, r.some())
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
	v.Level, v.Weight = r.number(), r.number()
	v.Family = string(r.Text())
	v.Calibration, v.Silenced = r.number(), r.Bool()
}

func (r *reader) verdict(v *consensus.Verdict) {
	r.fields(verdictHas, 5, func(label uint64) {
		switch label {
		case 1:
			r.Fixed(v.Proposal[:])
		case 2:
			v.State = consensus.State(r.byte())
		case 3:
			v.At = r.Int()
		case 4:
			v.Until = r.time()
		case 5:
			v.From = r.time()
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) inclusion(i *audit.Inclusion) {
	r.fields(inclusionHas, 2, func(label uint64) {
		switch label {
		case 1:
			r.leaf(&i.Leaf)
		case 2:
			i.Path = make([]merkle.Hash, r.some())
			for at := range i.Path {
				r.Fixed(i.Path[at][:])
			}
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) leaf(l *audit.Leaf) {
	r.fields(leafHas, 4, func(label uint64) {
		switch label {
		case 1:
			l.Index = r.number()
		case 2:
			r.Fixed(l.Command[:])
		case 3:
			if l.Verdict = fault.Code(r.Text()); l.Verdict == "" {
				r.Refuse("an empty field")
			}
		case 4:
			r.Fixed(l.Result[:])
		default:
			r.Refuse("unknown label")
		}
	})
}

func (r *reader) number() uint64 { return r.Uint(1<<64 - 1) }

func (r *reader) byte() byte { return byte(r.Uint(1<<8 - 1)) }

// above reads a number that would be absent if it were 0.
func (r *reader) above() uint64 {
	n := r.number()
	if n == 0 {
		r.Refuse("an empty field")
	}
	return n
}

// time reads a signed number that would be absent if it were 0.
func (r *reader) time() int64 {
	n := r.Int()
	if n == 0 {
		r.Refuse("an empty field")
	}
	return n
}

// set reads a truth that would be absent if it were false.
func (r *reader) set() bool {
	if !r.Bool() {
		r.Refuse("an empty field")
	}
	return true
}

// some reads what stands before the elements of an array, of which there is at least one, and none of no bytes.
func (r *reader) some() int {
	n := r.Array(wire.MaxItems)
	if n == 0 || n > r.Len() {
		r.Refuse("no elements, or fewer")
		return 0
	}
	return n
}

// list reads an array of byte strings.
func (r *reader) list() [][]byte {
	list := make([][]byte, r.some())
	for i := range list {
		list[i] = r.Bytes()
	}
	return list
}
