package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// Opinion is what the book makes of one subject of a list of ratings. All are in millionths of a whole, 0 to 1,000,000.
type Opinion struct {
	ID          string
	Score       int64 // belief, if peers could take off no more than a twentieth of it
	Belief      int64 // the three sum up to a whole: what speaks for it,
	Disbelief   int64 // against it,
	Uncertainty int64 // and what is not known
}

// Replayed is the result of [Replay].
type Replayed struct {
	Subjects []Opinion // everybody who rates or is rated, sorted by ID
	Ratings  int64     // lines that were counted, whatever they weighed
	Own      int64     // lines that were not: of oneself, or of somebody of the same operator
	Late     int64     // lines older than one before them, counted at that one's time
}

// ErrLine is returned for a line of a list that is no rating.
var ErrLine = fault.New(fault.InvalidInput, "simulate: not a list of ratings")

// ErrSeed is returned for a seed that is not in the list.
var ErrSeed = fault.New(fault.InvalidInput, "simulate: the seed rates nobody")

// maxLine bounds a line, in bytes.
const maxLine = 4096

// AtPeoplesPace returns the parameters for lists of people's ratings: these are few and years apart, where agents' outcomes
// are many a day. Nothing is forgotten sooner than in ten years, and a person may say any number of things in a day.
func AtPeoplesPace(p trust.Params) trust.Params {
	p.HalfLife.Slow = MaxDays * dayLength
	p.Allowance = unlimited
	return p
}

// unlimited is more than any list weighs.
const unlimited = 1_000_000_000 * trust.Unit

// Replay counts a list of ratings by a trust book: each line "time,rater,ratee,rating[,rater_operator]", the time in Unix
// seconds. It reads the list twice, first to learn the scale (ratings are −1 to 1 if none is greater, else −10 to 10) and who
// answers for whom; a rater without operator answers for itself. Seeds rate as people do, within a person's daily allowance;
// all others need the weight that they have received themselves. In the book ratings alone make no score, only modulate it;
// here, where there is nothing else, what they weigh is taken for the evidence. Memory is bounded by the subjects. Progress, if
// not nil, is told the lines read so far now and then. Errors: [ErrLine], [ErrSeed], the reader's.
func Replay(list io.ReadSeeker, seeds []string, p trust.Params, progress func(lines int64)) (Replayed, error) {
	s := survey{operators: map[string]string{}, raters: map[string]bool{}}
	if err := eachRating(list, s.see, nil); err != nil {
		return Replayed{}, err
	}
	rooted := map[string]bool{}
	for _, seed := range seeds {
		if !s.raters[seed] {
			return Replayed{}, fmt.Errorf("%w: %.64q", ErrSeed, seed)
		}
		rooted[seed] = true
	}
	if _, err := list.Seek(0, io.SeekStart); err != nil {
		return Replayed{}, err
	}
	r := replay{
		survey: s, seeds: rooted, params: p, book: trust.NewBook(p, trust.Ladder()), subjects: map[string]subject{},
	}
	if err := eachRating(list, r.count, progress); err != nil {
		return Replayed{}, err
	}
	return r.result(), nil
}

// rating is one line.
type rating struct {
	at       int64 // Unix milliseconds
	rater    string
	ratee    string
	operator string // "": none is given
	value    int64  // thousandths, as the list has it
}

// survey is what the first reading learns.
type survey struct {
	operators map[string]string // of raters, where the list names one
	raters    map[string]bool
	greatest  int64
}

func (s *survey) see(r rating) error {
	if !s.raters[r.rater] {
		s.raters[strings.Clone(r.rater)] = true
	}
	s.greatest = max(s.greatest, r.value, -r.value)
	if r.operator == "" {
		return nil
	}
	had, ok := s.operators[r.rater]
	if ok && had != r.operator {
		return fmt.Errorf("%.64q had another operator before", r.rater)
	}
	if !ok {
		s.operators[strings.Clone(r.rater)] = strings.Clone(r.operator)
	}
	return nil
}

// replay is the second reading.
type replay struct {
	survey
	seeds    map[string]bool
	params   trust.Params
	book     *trust.Book
	subjects map[string]subject
	newest   int64
	out      Replayed
}

// subject is somebody in the list, and who answers for it.
type subject struct{ id, operator identity.ID }

// subject returns who has the name, and opens its account. Its operator is the one that the list names, otherwise itself.
func (r *replay) subject(name string) subject {
	s, ok := r.subjects[name]
	if ok {
		return s
	}
	name = strings.Clone(name)
	operator := name
	if named, ok := r.operators[name]; ok {
		operator = named
	}
	s = subject{digested(identity.Agent, name), digested(identity.Operator, operator)}
	r.subjects[name] = s
	r.book.Open(s.id, s.operator, identity.Observer, r.newest)
	return s
}

func digested(role identity.Role, name string) identity.ID {
	return identity.NewID(role, wire.PublicKey(wire.Hash([]byte(name))))
}

func (r *replay) count(line rating) error {
	scale := int64(1) // −1 to 1 in thousandths is −1000 to 1000
	if r.greatest > 1000 {
		scale = 10
	}
	if line.at < r.newest {
		r.out.Late++
	}
	r.newest = max(r.newest, line.at)
	rater, ratee := r.subject(line.rater), r.subject(line.ratee)
	if rater.operator == ratee.operator { // whoever rates itself is among them
		r.out.Own++
		return nil
	}
	r.out.Ratings++
	r.book.Apply(trust.Event{
		Act: trust.Rating, Subject: ratee.id, By: rater.id, Operator: rater.operator, Rooted: r.seeds[line.rater],
		Value: line.value / scale,
	}, r.newest)
	return nil
}

// result returns the opinions at the time of the last line.
func (r *replay) result() Replayed {
	r.book.Replace(r.params, trust.Ladder(), r.newest) // which brings all amounts up to now
	for name, s := range r.subjects {
		a, _ := r.book.Account(s.id)
		r.out.Subjects = append(r.out.Subjects, opinion(name, a, r.params))
	}
	slices.SortFunc(r.out.Subjects, func(a, b Opinion) int { return strings.Compare(a.ID, b.ID) })
	return r.out
}

// opinion weighs slander twice, as the book does, and in the score at most so much that a twentieth is lost.
func opinion(name string, a trust.Account, p trust.Params) Opinion {
	good, bad, prior := int64(a.Endorsed), 2*int64(a.Slandered), int64(p.Prior)
	all := good + bad + prior
	o := Opinion{
		ID: name, Belief: good * micro / all, Disbelief: bad * micro / all,
		Score: good * micro / (good + min(bad, (good+prior)/20) + prior),
	}
	o.Uncertainty = micro - o.Belief - o.Disbelief
	return o
}

// progressEvery is after how many lines progress is told.
const progressEvery = 1_000_000

// eachRating calls f for each rating of the list. What f objects to is refused with the line's number.
func eachRating(list io.Reader, f func(rating) error, progress func(lines int64)) error {
	lines := bufio.NewScanner(bufio.NewReaderSize(list, 64<<10))
	lines.Buffer(make([]byte, maxLine), maxLine)
	n := int64(0)
	for lines.Scan() {
		n++
		text := strings.TrimSuffix(lines.Text(), "\r")
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if text == "" || (n == 1 && isHeader(text)) {
			continue
		}
		r, err := parseRating(text)
		if err == nil {
			err = f(r)
		}
		if err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrLine, n, err)
		}
		if progress != nil && n%progressEvery == 0 {
			progress(n)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%w: line %d: over %d bytes", ErrLine, n+1, maxLine)
	}
	return lines.Err()
}

// isHeader reports whether the line names the columns.
func isHeader(text string) bool {
	fields := strings.Split(text, ",")
	return len(fields) >= 4 && strings.EqualFold(strings.TrimSpace(fields[0]), "time") &&
		strings.EqualFold(strings.TrimSpace(fields[3]), "rating")
}

func parseRating(text string) (rating, error) {
	fields := strings.Split(text, ",")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(fields) != 4 && len(fields) != 5 {
		return rating{}, fmt.Errorf("%d fields, but the form is time,rater,ratee,rating[,rater_operator]", len(fields))
	}
	r := rating{rater: fields[1], ratee: fields[2]}
	if len(fields) == 5 {
		r.operator = fields[4]
	}
	if r.rater == "" || r.ratee == "" {
		return rating{}, errors.New("no rater or no ratee")
	}
	var err error
	if r.at, err = thousandths(fields[0]); err != nil || r.at < 0 || r.at > latest {
		return rating{}, fmt.Errorf("time %.32q is not in Unix seconds", fields[0])
	}
	if r.value, err = thousandths(fields[3]); err != nil || r.value < -10_000 || r.value > 10_000 {
		return rating{}, fmt.Errorf("rating %.32q is not a number from -10 to 10", fields[3])
	}
	return r, nil
}

// latest is the end of the year 9999, in Unix milliseconds.
const latest = 253_402_300_799_000

// errNumber is why a number is none.
var errNumber = errors.New("not a decimal number")

// thousandths reads a decimal number such as −0.25 and cuts it off behind the third place.
func thousandths(text string) (int64, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimPrefix(strings.TrimPrefix(whole, "-"), "+")
	if digits == "" || len(digits) > 12 || len(fraction) > 24 || !decimal(digits) || !decimal(fraction) {
		return 0, errNumber
	}
	if len(whole)-len(digits) > 1 {
		return 0, errNumber
	}
	v, err := strconv.ParseInt(digits+(fraction + "000")[:3], 10, 64)
	if strings.HasPrefix(whole, "-") {
		v = -v
	}
	return v, err
}

func decimal(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
