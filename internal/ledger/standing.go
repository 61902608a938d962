package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Standing is where an agent stands, and why. Times are log time in Unix milliseconds, shares per mille.
type Standing struct {
	ID           identity.ID    `json:"id"`
	Name         string         `json:"name"`
	Operator     identity.ID    `json:"operator"`
	OperatorName string         `json:"operator_name"`
	Parent       *identity.ID   `json:"parent,omitempty"`
	Children     []identity.ID  `json:"children,omitempty"`
	Make         *wire.Digest   `json:"make,omitempty"` // capability digest
	Status       trust.Status   `json:"status"`
	Level        identity.Level `json:"level"`
	Cap          identity.Level `json:"cap"`              // the greatest level that its parent lets it have
	Reason       string         `json:"reason,omitempty"` // of the last change of status or level

	At        int64                      `json:"at"`    // what follows is as of this time
	Index     uint64                     `json:"index"` // size of the tree
	Scores    [trust.Classes]trust.Score `json:"scores"`
	Suspicion uint64                     `json:"suspicion"`
	Throttle  uint64                     `json:"throttle"` // what that takes away of its rate, in steps of 100
	Class     uint8                      `json:"class"`    // that the next level asks for; at L5, that L5 does
	Score     uint64                     `json:"score"`    // in this class
	Until     int64                      `json:"until,omitempty"`
	Blocked   int64                      `json:"blocked,omitempty"` // no promotion before
	Next      []trust.Condition          `json:"next"`              // what the next level asks for; nothing at L5
	Account   trust.Account              `json:"account"`
}

// Rank is one agent's line in a list of all. Shares are per mille.
type Rank struct {
	ID           identity.ID    `json:"id"`
	Name         string         `json:"name"`
	Operator     identity.ID    `json:"operator"`
	OperatorName string         `json:"operator_name"`
	Parent       *identity.ID   `json:"parent,omitempty"`
	Status       trust.Status   `json:"status"`
	Level        identity.Level `json:"level"`
	Class        uint8          `json:"class"` // that the next level asks for
	Score        uint64         `json:"score"` // in this class
	Belief       uint64         `json:"belief"`
	Disbelief    uint64         `json:"disbelief"`
	Uncertainty  uint64         `json:"uncertainty"`
	Suspicion    uint64         `json:"suspicion"`
	Throttle     uint64         `json:"throttle"`
	Until        int64          `json:"until,omitempty"` // end of the lease
}

// Standing returns where an agent stands now. Errors: [ErrUnknown]; [ErrDenied] of an operator, who has no standing; code
// version while the realm is below feature level 4, and reckons nothing.
func (l *Ledger) Standing(id identity.ID) (Standing, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.state
	if err := s.speaks(registry.TypeEvidence, registry.TrustFeature); err != nil {
		return Standing{}, err
	}
	m, err := s.member(id)
	if err != nil {
		return Standing{}, err
	}
	if id.Role() != identity.Agent {
		return Standing{}, fmt.Errorf("%w: only agents have a standing", ErrDenied)
	}
	return s.reckoner.standing(m), nil
}

func (r *reckoner) standing(m *Member) Standing {
	s := r.state
	account, _ := r.book.Account(m.ID)
	most := s.ceiling(m)
	view := Standing{
		ID: m.ID, Name: m.Name, Operator: m.Operator, OperatorName: s.nameOf(m.Operator), Parent: m.parent(),
		Children: slices.Clone(r.children[m.ID]), Status: m.Status, Level: m.Level, Cap: most, Reason: m.Reason,
		At: s.now, Index: s.tree.Size(), Scores: r.book.Scores(m.ID, s.now), Suspicion: r.book.Suspicion(m.ID, s.now),
		Throttle: m.Throttle, Class: r.class(m.Level), Until: account.Climb.Until, Blocked: account.Climb.Blocked,
		Next: r.next(m, most), Account: account,
	}
	view.Score = view.Scores[view.Class].Value
	if !m.Make.IsZero() {
		made := m.Make
		view.Make = &made
	}
	return view
}

// next returns what the next level asks for; of people, as many as the ledger wants to sign.
func (r *reckoner) next(m *Member, most identity.Level) []trust.Condition {
	conditions := r.book.Next(m.ID, m.Level, most+1, r.state.now)
	for i := range conditions {
		if c := &conditions[i]; c.Name == "sign-off" {
			people, _ := r.state.signOff(m.Level + 1)
			c.Need = max(c.Need, int64(people))
		}
	}
	return conditions
}

// class returns the class whose score the level above asks for; at the top, the level itself.
func (r *reckoner) class(level identity.Level) uint8 {
	ladder := r.state.policy.Ladder()
	if len(ladder) == 0 {
		return 0
	}
	return uint8(min(ladder[min(int(level), len(ladder)-1)].Class, trust.Classes-1))
}

// Ranking returns every agent: the highest level first, of equal ones the highest score, then by name. Error: code version
// while the realm is below feature level 4.
func (l *Ledger) Ranking() ([]Rank, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.state
	if err := s.speaks(registry.TypeEvidence, registry.TrustFeature); err != nil {
		return nil, err
	}
	r := s.reckoner
	ranks := make([]Rank, 0, len(r.agents))
	for _, id := range r.agents {
		ranks = append(ranks, r.rank(s.members[id]))
	}
	slices.SortFunc(ranks, func(a, b Rank) int {
		return cmp.Or(cmp.Compare(b.Level, a.Level), cmp.Compare(b.Score, a.Score), strings.Compare(a.Name, b.Name))
	})
	return ranks, nil
}

func (r *reckoner) rank(m *Member) Rank {
	s, class := r.state, r.class(m.Level)
	account, _ := r.book.Account(m.ID)
	score := r.book.Scores(m.ID, s.now)[class]
	return Rank{
		ID: m.ID, Name: m.Name, Operator: m.Operator, OperatorName: s.nameOf(m.Operator), Parent: m.parent(),
		Status: m.Status, Level: m.Level, Class: class, Score: score.Value, Belief: score.Belief, Disbelief: score.Disbelief,
		Uncertainty: score.Uncertainty, Suspicion: r.book.Suspicion(m.ID, s.now), Throttle: m.Throttle, Until: account.Climb.Until,
	}
}

func (m *Member) parent() *identity.ID {
	if m.Parent.IsZero() {
		return nil
	}
	parent := m.Parent
	return &parent
}

func (s *state) nameOf(id identity.ID) string {
	if m, ok := s.members[id]; ok {
		return m.Name
	}
	return ""
}

// reviewEvery is how long log time may stand while agents have levels to lose, in milliseconds.
const reviewEvery = 10 * 60 * 1000

// NextReview returns the log time at which somebody should tell the time though no decision waits for it: leases end and
// suspicion fades also where nobody hands in a command. 0: there is no agent that could lose anything.
func (l *Ledger) NextReview() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.state
	if s.reckoner == nil {
		return 0
	}
	for _, id := range s.reckoner.agents {
		if m := s.members[id]; m.Status == trust.Active && (m.Level > identity.Observer || m.Throttle > 0) {
			return s.sweepAt - sweepEvery + reviewEvery
		}
	}
	return 0
}
