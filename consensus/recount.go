package consensus

// Recount counts a poll that was cast for one opening as Tally would have by another: its rule, and its voters with their
// weights. It is for asking what another policy would have said, and proves nothing. Ballots of voters that the other
// opening does not have are left out. The errors are those of [Tally].
func Recount(cast, as Opening, p Poll, now int64) (State, error) {
	if err := checkVoters(as); err != nil {
		return 0, err
	}
	c, err := newCount(cast.Freeze(), p, now)
	if err != nil {
		return 0, err
	}
	if err := checkVoters(as); err != nil {
		return 0, err
	}
	c.o = as
	for id := range c.votes {
		if _, ok := as.Voter(id); !ok {
			delete(c.votes, id)
		}
	}
	return c.state(), nil
}
