package simulate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/simulate"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// replayed counts a list by the defaults at people's pace.
func replayed(t testing.TB, list string, seeds ...string) (map[string]simulate.Opinion, simulate.Replayed) {
	t.Helper()
	r, err := simulate.Replay(strings.NewReader(list), seeds, simulate.AtPeoplesPace(trust.Defaults()), nil)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]simulate.Opinion{}
	for _, o := range r.Subjects {
		by[o.ID] = o
		if o.Belief+o.Disbelief+o.Uncertainty != 1_000_000 || min(o.Belief, o.Disbelief, o.Uncertainty, o.Score) < 0 {
			t.Errorf("%+v does not add up", o)
		}
	}
	if len(by) != len(r.Subjects) {
		t.Errorf("%d subjects, %d different", len(r.Subjects), len(by))
	}
	if !slices.IsSortedFunc(r.Subjects, func(a, b simulate.Opinion) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("not sorted")
	}
	return by, r
}

func TestASeedsWordCounts(t *testing.T) {
	by, r := replayed(t, "time,rater,ratee,rating,rater_operator\n100,root,good,10\n101,root,bad,-10,\n102,good,next,10\n103,stranger,liked,10\n", "root")
	if r.Ratings != 4 || r.Own != 0 || r.Late != 0 || len(by) != 6 {
		t.Fatalf("%+v", r)
	}
	want := map[string]simulate.Opinion{ // a unit of 8 + 1; twice a unit of 8 + 2; γ/4 of a unit
		"good":     {ID: "good", Score: 111_111, Belief: 111_111, Uncertainty: 888_889},
		"bad":      {ID: "bad", Disbelief: 200_000, Uncertainty: 800_000},
		"next":     {ID: "next", Score: 15_384, Belief: 15_384, Uncertainty: 984_616},
		"liked":    {ID: "liked", Uncertainty: 1_000_000},
		"root":     {ID: "root", Uncertainty: 1_000_000},
		"stranger": {ID: "stranger", Uncertainty: 1_000_000},
	}
	for id, o := range want {
		if by[id] != o {
			t.Errorf("got %+v, want %+v", by[id], o)
		}
	}
}

func TestTheScaleIsFoundOut(t *testing.T) {
	tens, _ := replayed(t, "1,root,a,10\n2,root,b,5\n3,root,c,-1\n", "root")
	ones, _ := replayed(t, "1,root,a,1\n2,root,b,0.5\n3,root,c,-0.1\n", "root")
	for id, o := range tens {
		if ones[id] != o {
			t.Errorf("of ten %+v, of one %+v", o, ones[id])
		}
	}
	mixed, _ := replayed(t, "1,root,a,1\n2,root,b,1.5\n", "root")
	if mixed["a"].Belief >= 20_000 {
		t.Errorf("1 of 10 is %+v", mixed["a"])
	}
}

func TestWhatIsOnesOwnCountsNothing(t *testing.T) {
	by, r := replayed(t, "1,root,root,1\n2,root,colleague,1\n3,colleague,root,1,root\n4,root,other,1\n", "root")
	if r.Own != 3 || r.Ratings != 1 || by["colleague"].Belief != 0 || by["root"].Belief != 0 || by["other"].Belief == 0 {
		t.Errorf("%+v", r)
	}
}

func TestLateLinesCountAtTheNewestTime(t *testing.T) {
	_, r := replayed(t, "5,root,a,1\n3,root,b,1\n4,root,c,1\n5,root,d,1\n1289241911.72836,root,e,1\n", "root")
	if r.Late != 2 || r.Ratings != 5 {
		t.Errorf("%+v", r)
	}
}

// TestSybilsGainNothing: whoever no seed reaches is worth nothing, however many praise it, and cannot harm.
func TestSybilsGainNothing(t *testing.T) {
	var list strings.Builder
	for i := range 200 {
		fmt.Fprintf(&list, "%d,root,honest,10\n", i)
		for j := range 10 {
			fmt.Fprintf(&list, "%d,sybil%d,boss,10\n%d,boss,sybil%d,10\n%d,sybil%d,honest,-10\n", i, j, i, j, i, j)
		}
	}
	by, _ := replayed(t, list.String(), "root")
	if by["boss"].Belief != 0 || by["sybil3"].Belief != 0 || by["honest"].Disbelief != 0 || by["honest"].Score < 950_000 {
		t.Errorf("boss %+v, honest %+v", by["boss"], by["honest"])
	}
}

// TestACliqueMakesNoMoreThanItsInflow: with one unit from a seed and γ of a half, all that a clique makes among itself is at
// most one unit more.
func TestACliqueMakesNoMoreThanItsInflow(t *testing.T) {
	for _, size := range []int{2, 5, 30} {
		var list strings.Builder
		list.WriteString("1,root,m0,10\n")
		for round := range 60 {
			for i := range size {
				fmt.Fprintf(&list, "%d,m%d,m%d,10\n", 2+round, i, (i+1+round%(size-1))%size)
			}
		}
		by, _ := replayed(t, list.String(), "root")
		sum := 0.0 // units: belief b of a prior of 8 is 8b/(1−b)
		for i := range size {
			b := float64(by[fmt.Sprintf("m%d", i)].Belief) / 1e6
			sum += 8 * b / (1 - b)
		}
		if sum < 1 || sum > 2.001 {
			t.Errorf("%d members have %f units between them", size, sum)
		}
	}
}

func TestPeersTakeOffATwentieth(t *testing.T) {
	var list strings.Builder
	for i := range 60 {
		fmt.Fprintf(&list, "%d,root,victim,10\n", i)
		for j := range 10 {
			fmt.Fprintf(&list, "%d,root,liar%d,10\n", i, j)
		}
	}
	before, _ := replayed(t, list.String(), "root")
	for i := range 60 {
		for j := range 10 {
			fmt.Fprintf(&list, "%d,liar%d,victim,-10\n", 60+i, j)
		}
	}
	after, _ := replayed(t, list.String(), "root")
	if was, is := before["victim"].Score, after["victim"].Score; is >= was || is*1000/was < 952 {
		t.Errorf("from %d to %d", was, is)
	}
	if after["victim"].Disbelief < 300_000 {
		t.Errorf("the slander does not show: %+v", after["victim"])
	}
}

func TestReplayByAPolicysOwnPace(t *testing.T) {
	list := "0,root,old,10\n0,root,second,10\n0,root,third,10\n0,root,fourth,10\n31536000,root,new,10\n"
	r, err := simulate.Replay(strings.NewReader(list), []string{"root"}, trust.Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]simulate.Opinion{}
	for _, o := range r.Subjects {
		by[o.ID] = o
	}
	if by["old"].Belief > 1000 || by["fourth"].Belief != 0 || by["new"].Belief != 111_111 {
		t.Errorf("%+v", r.Subjects) // a year is eight half-lives; the fourth of a day is over the allowance
	}
	slow, _ := replayed(t, list, "root")
	if slow["old"].Belief < 100_000 || slow["fourth"].Belief < 100_000 {
		t.Errorf("%+v", slow)
	}
}

func TestBadLines(t *testing.T) {
	for _, row := range []struct{ name, list, want string }{
		{"good", "1,root,a,1\n\n2,root,b,-1,op\r\n", ""},
		{"byte order mark", "\ufefftime,rater,ratee,rating\n1,root,a,1\n", ""},
		{"no end of line", "1,root,a,1", ""},
		{"spaces", " 1 , root , a , +0.5 \n", ""},
		{"three fields", "1,root,a,1\n2,root,a\n", "line 2: 3 fields"},
		{"six fields", "1,root,a,1\n2,root,a,1,x,y\n", "line 2: 6 fields"},
		{"no rater", "1,root,a,1\n2,,a,1\n", "line 2: no rater"},
		{"no ratee", "1,root,a,1\n2,root,,1\n", "line 2: no rater or no ratee"},
		{"no time", "1,root,a,1\n,root,a,1\n", `line 2: time ""`},
		{"time of a kind", "1,root,a,1\n2011-01-01,root,a,1\n", `line 2: time "2011-01-01"`},
		{"before all time", "1,root,a,1\n-1,root,a,1\n", `line 2: time "-1"`},
		{"milliseconds", "1,root,a,1\n1289241911728,root,a,1\n", "line 2: time"},
		{"no number", "1,root,a,1\n2,root,a,good\n", `line 2: rating "good"`},
		{"too great", "1,root,a,1\n2,root,a,10.001\n", `line 2: rating "10.001"`},
		{"too small", "1,root,a,1\n2,root,a,-11\n", `line 2: rating "-11"`},
		{"two signs", "1,root,a,1\n2,root,a,--1\n", `line 2: rating "--1"`},
		{"exponent", "1,root,a,1\n2,root,a,1e0\n", `line 2: rating "1e0"`},
		{"header in the middle", "1,root,a,1\ntime,rater,ratee,rating\n", `line 2: time "time"`},
		{"two operators", "1,root,a,1\n2,x,a,1,one\n3,x,b,1,two\n", `line 3: "x" had another operator`},
		{"long line", "1,root,a,1\n2," + strings.Repeat("x", 5000) + ",a,1\n", "line 2: over 4096 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := simulate.Replay(strings.NewReader(row.list), []string{"root"}, trust.Defaults(), nil)
			if row.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, simulate.ErrLine) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
	_, err := simulate.Replay(strings.NewReader("1,root,a,1\n"), []string{"root", "a"}, trust.Defaults(), nil)
	if !errors.Is(err, simulate.ErrSeed) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a seed that rates nobody: %v", err)
	}
	if _, err := simulate.Replay(strings.NewReader(""), nil, trust.Defaults(), nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

func TestProgressIsTold(t *testing.T) {
	list := strings.Repeat("1,a,b,1\n", 1_000_001)
	var told []int64
	_, err := simulate.Replay(strings.NewReader(list), []string{"a"}, trust.Defaults(), func(lines int64) { told = append(told, lines) })
	if err != nil || len(told) != 1 || told[0] != 1_000_000 {
		t.Errorf("%v %v", told, err)
	}
}

// FuzzReplay holds: whatever the list, it is refused or its opinions add up, and nobody has more than the seeds gave.
func FuzzReplay(f *testing.F) {
	f.Add("time,rater,ratee,rating\n1,root,a,10\n2,a,b,-10,op\n")
	f.Add("1,root,a,1\n1.5,a,b,0.25\n0,b,root,-1\n")
	f.Fuzz(func(t *testing.T, list string) {
		list = "0,root,x,1\n" + list
		r, err := simulate.Replay(strings.NewReader(list), []string{"root"}, trust.Defaults(), nil)
		if err != nil {
			if !errors.Is(err, simulate.ErrLine) {
				t.Fatal(err)
			}
			return
		}
		for _, o := range r.Subjects {
			if o.Belief+o.Disbelief+o.Uncertainty != 1_000_000 || min(o.Belief, o.Disbelief, o.Uncertainty, o.Score) < 0 || o.Score < o.Belief {
				t.Fatalf("%+v", o)
			}
		}
	})
}
