package trust_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// The parties: a subject of operator 10, an author of operator 11, an attester of operator 12, each active on L2.
var (
	subjectID  = principal(identity.Agent, 1)
	authorID   = principal(identity.Agent, 2)
	attesterID = principal(identity.Agent, 3)
)

func evidenceOf(act trust.Act) trust.Evidence {
	e := trust.Evidence{
		Version: 1, Act: act, Subject: subjectID, Author: authorID, Nonce: [16]byte{1}, Issued: now,
		Expires: now + trust.MaxEvidenceLife, Detail: "seen",
	}
	switch act {
	case trust.Outcome:
		e.Attester, e.Action, e.OK = attesterID, "file.sort", true
		e.Request, e.Result = wire.Digest{1}, wire.Digest{2}
	case trust.Rating:
		e.Value = -1000
	case trust.Violation:
		e.Author, e.Severity = principal(identity.Operator, 11), 4
	case trust.Alarm:
		e.Value = 1000
	case trust.Endorsement, trust.Pardon:
		e.Author, e.Amount = principal(identity.Operator, 11), trust.Unit
	}
	return e
}

var acts = []trust.Act{trust.Outcome, trust.Rating, trust.Violation, trust.Alarm, trust.Endorsement, trust.Pardon}

func TestEvidenceOfEachActPasses(t *testing.T) {
	for _, act := range acts {
		if err := evidenceOf(act).Check(); err != nil {
			t.Errorf("%s: %v", act, err)
		}
	}
}

func TestEvidenceRefusesForEveryAct(t *testing.T) {
	type e = trust.Evidence
	for _, row := range []struct {
		name   string
		change func(*e)
		want   fault.Code
	}{
		{"honest", func(*e) {}, ""},
		{"no detail", func(e *e) { e.Detail = "" }, ""},
		{"longest detail", func(e *e) { e.Detail = strings.Repeat("x", trust.MaxDetail) }, ""},
		{"too long a detail", func(e *e) { e.Detail = strings.Repeat("x", trust.MaxDetail+1) }, fault.TooLarge},
		{"version", func(e *e) { e.Version = 2 }, fault.Version},
		{"no version", func(e *e) { e.Version = 0 }, fault.Version},
		{"no subject", func(e *e) { e.Subject = identity.ID{} }, fault.Malformed},
		{"a person as subject", func(e *e) { e.Subject = principal(identity.Operator, 1) }, fault.Malformed},
		{"a weak subject", func(e *e) { e.Subject = identity.NewID(identity.Agent, wire.PublicKey{1}) }, fault.BadKey},
		{"no author", func(e *e) { e.Author = identity.ID{} }, fault.Malformed},
		{"a node as author", func(e *e) { e.Author = principal(identity.Node, 20) }, fault.Malformed},
		{"a weak author", func(e *e) { e.Author = identity.NewID(identity.Agent, wire.PublicKey{1}) }, fault.BadKey},
		{"no nonce", func(e *e) { e.Nonce = [16]byte{} }, fault.Malformed},
		{"no time", func(e *e) { e.Issued = 0 }, fault.Malformed},
		{"no life", func(e *e) { e.Expires = e.Issued }, fault.Malformed},
		{"too long a life", func(e *e) { e.Expires++ }, fault.Malformed},
		{"no act", func(e *e) { e.Act = 0 }, fault.Malformed},
		{"a vote", func(e *e) { e.Act = trust.Settled }, fault.Malformed},
		{"an unknown act", func(e *e) { e.Act = 8 }, fault.Malformed},
	} {
		for _, act := range acts {
			t.Run(row.name+" of "+act.String(), func(t *testing.T) {
				e := evidenceOf(act)
				row.change(&e)
				wantCode(t, e.Check(), row.want)
			})
		}
	}
}

// TestEvidenceIsClosed sets each field that some act has in every act, and expects it refused where the act has it not.
func TestEvidenceIsClosed(t *testing.T) {
	for _, row := range []struct {
		name string
		set  func(*trust.Evidence)
		has  []trust.Act
	}{
		{"attester", func(e *trust.Evidence) { e.Attester = attesterID }, []trust.Act{trust.Outcome}},
		{"action", func(e *trust.Evidence) { e.Action = "a" }, []trust.Act{trust.Outcome}},
		{"request", func(e *trust.Evidence) { e.Request[3] = 1 }, []trust.Act{trust.Outcome}},
		{"result", func(e *trust.Evidence) { e.Result[3] = 1 }, []trust.Act{trust.Outcome}},
		{"ok", func(e *trust.Evidence) { e.OK = true }, []trust.Act{trust.Outcome}},
		{"value", func(e *trust.Evidence) { e.Value = 1 }, []trust.Act{trust.Rating, trust.Alarm}},
		{"severity", func(e *trust.Evidence) { e.Severity = 1 }, []trust.Act{trust.Violation}},
		{"amount", func(e *trust.Evidence) { e.Amount = 1 }, []trust.Act{trust.Endorsement, trust.Pardon}},
	} {
		for _, act := range acts {
			e := evidenceOf(act)
			row.set(&e)
			want := fault.Malformed
			for _, has := range row.has {
				if has == act {
					want = ""
				}
			}
			if got := fault.CodeOf(e.Check()); got != want {
				t.Errorf("%s with %s: got %q, want %q", act, row.name, got, want)
			}
		}
	}
}

func TestEvidenceInRange(t *testing.T) {
	type e = trust.Evidence
	for _, row := range []struct {
		name   string
		act    trust.Act
		change func(*e)
		want   fault.Code
	}{
		{"failed outcome", trust.Outcome, func(e *e) { e.OK = false }, ""},
		{"no answer", trust.Outcome, func(e *e) { e.OK, e.Result = false, wire.Digest{} }, ""},
		{"right without an answer", trust.Outcome, func(e *e) { e.Result = wire.Digest{} }, fault.Malformed},
		{"no request", trust.Outcome, func(e *e) { e.Request = wire.Digest{} }, fault.Malformed},
		{"no action", trust.Outcome, func(e *e) { e.Action = "" }, fault.Malformed},
		{"no name of an action", trust.Outcome, func(e *e) { e.Action = "Sort file" }, fault.Malformed},
		{"no attester", trust.Outcome, func(e *e) { e.Attester = identity.ID{} }, fault.Malformed},
		{"a node attests", trust.Outcome, func(e *e) { e.Attester = principal(identity.Node, 20) }, fault.Malformed},
		{"a weak attester", trust.Outcome, func(e *e) { e.Attester = identity.NewID(identity.Agent, wire.PublicKey{1}) }, fault.BadKey},
		{"a person attests", trust.Outcome, func(e *e) { e.Attester = principal(identity.Operator, 12) }, ""},
		{"best rating", trust.Rating, func(e *e) { e.Value = 1000 }, ""},
		{"no opinion", trust.Rating, func(e *e) { e.Value = 0 }, ""},
		{"better than best", trust.Rating, func(e *e) { e.Value = 1001 }, fault.Malformed},
		{"worse than worst", trust.Rating, func(e *e) { e.Value = -1001 }, fault.Malformed},
		{"least severe", trust.Violation, func(e *e) { e.Severity = 1 }, ""},
		{"not severe", trust.Violation, func(e *e) { e.Severity = 0 }, fault.Malformed},
		{"too severe", trust.Violation, func(e *e) { e.Severity = 5 }, fault.Malformed},
		{"least alarm", trust.Alarm, func(e *e) { e.Value = 1 }, ""},
		{"no alarm", trust.Alarm, func(e *e) { e.Value = 0 }, fault.Malformed},
		{"negative alarm", trust.Alarm, func(e *e) { e.Value = -1 }, fault.Malformed},
		{"too great an alarm", trust.Alarm, func(e *e) { e.Value = 1001 }, fault.Malformed},
		{"smallest word", trust.Endorsement, func(e *e) { e.Amount = 1 }, ""},
		{"greatest word", trust.Endorsement, func(e *e) { e.Amount = 1<<63 - 1 }, ""},
		{"no word", trust.Endorsement, func(e *e) { e.Amount = 0 }, fault.Malformed},
		{"negative word", trust.Endorsement, func(e *e) { e.Amount = -1 }, fault.Malformed},
		{"greatest pardon", trust.Pardon, func(e *e) { e.Amount = trust.MaxPardon }, ""},
		{"too great a pardon", trust.Pardon, func(e *e) { e.Amount = trust.MaxPardon + 1 }, fault.Malformed},
		{"no pardon", trust.Pardon, func(e *e) { e.Amount = 0 }, fault.Malformed},
		{"negative pardon", trust.Pardon, func(e *e) { e.Amount = -trust.Unit }, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := evidenceOf(row.act)
			row.change(&e)
			wantCode(t, e.Check(), row.want)
		})
	}
}

func TestVerifyEvidence(t *testing.T) {
	author, attester, stranger := key(2), key(3), key(99)
	outcome, rating := evidenceOf(trust.Outcome), evidenceOf(trust.Rating)
	var none wire.PublicKey
	for _, row := range []struct {
		name     string
		raw      []byte
		attester wire.PublicKey
		now      int64
		want     fault.Code
	}{
		{"outcome", cosign(t, realm, outcome, author, attester), attester.Public(), now, ""},
		{"rating", cosign(t, realm, rating, author), none, now, ""},
		{"first moment", cosign(t, realm, rating, author), none, now - identity.Skew, ""},
		{"from the future", cosign(t, realm, rating, author), none, now - identity.Skew - 1, fault.NotYet},
		{"last moment", cosign(t, realm, rating, author), none, rating.Expires + identity.Skew - 1, ""},
		{"expired", cosign(t, realm, rating, author), none, rating.Expires + identity.Skew, fault.Expired},
		{"attester has not signed", cosign(t, realm, outcome, author), attester.Public(), now, fault.NoQuorum},
		{"author has not signed", cosign(t, realm, outcome, attester), attester.Public(), now, fault.NoQuorum},
		{"a stranger for the attester", cosign(t, realm, outcome, author, stranger), attester.Public(), now, fault.NoQuorum},
		{"one key for both", cosign(t, realm, outcome, author), author.Public(), now, fault.NoQuorum},
		{"a stranger besides", cosign(t, realm, outcome, author, attester, stranger), attester.Public(), now, fault.Denied},
		{"nobody", cosign(t, realm, rating), none, now, fault.NoQuorum},
		{"a stranger", cosign(t, realm, rating, stranger), none, now, fault.NoQuorum},
		{"a rating that somebody attests", cosign(t, realm, rating, author, attester), attester.Public(), now, fault.Denied},
		{"other realm", cosign(t, wire.Realm{2}, rating, author), none, now, fault.BadSignature},
		{"another kind", cosign(t, realm, honest(), author), none, now, fault.WrongKind},
		{"nothing", nil, none, now, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, err := trust.VerifyEvidence(row.raw, realm, author.Public(), row.attester, row.now)
			wantCode(t, err, row.want)
			if (err == nil) == v.IsZero() {
				t.Errorf("error %v with %+v", err, v.Statement())
			}
		})
	}
}

func TestAskedNamesARequestOfItsAuthor(t *testing.T) {
	first, ok := evidenceOf(trust.Outcome).Asked()
	if !ok {
		t.Fatal("an outcome has no request")
	}
	for _, row := range []struct {
		name   string
		change func(*trust.Evidence)
		same   bool
	}{
		{"another verdict", func(e *trust.Evidence) { e.OK = false }, true},
		{"another nonce and time", func(e *trust.Evidence) { e.Nonce[0], e.Issued = 9, now+1 }, true},
		{"another attester", func(e *trust.Evidence) { e.Attester = principal(identity.Agent, 9) }, true},
		{"another subject", func(e *trust.Evidence) { e.Subject = principal(identity.Agent, 9) }, true},
		{"another author", func(e *trust.Evidence) { e.Author = principal(identity.Agent, 9) }, false},
		{"another request", func(e *trust.Evidence) { e.Request[0] = 9 }, false},
	} {
		e := evidenceOf(trust.Outcome)
		row.change(&e)
		if got, _ := e.Asked(); (got == first) != row.same {
			t.Errorf("%s: %s, at first %s", row.name, got, first)
		}
	}
	if _, ok := evidenceOf(trust.Rating).Asked(); ok {
		t.Error("a rating has a request")
	}
}

func party(role identity.Role, n, operator byte) trust.Party {
	p := trust.Party{ID: principal(role, n), Operator: principal(identity.Operator, operator), Status: trust.Active, Level: identity.Apprentice}
	if role == identity.Operator {
		p.Operator = p.ID
	}
	return p
}

// told are the parties of one piece of evidence.
type told struct{ subject, author, attester trust.Party }

func partiesOf(act trust.Act) told {
	p := told{subject: party(identity.Agent, 1, 10), author: party(identity.Agent, 2, 11)}
	switch act {
	case trust.Outcome:
		p.attester = party(identity.Agent, 3, 12)
	case trust.Alarm:
		p.author.Detects = true
	case trust.Violation, trust.Endorsement, trust.Pardon:
		p.author = party(identity.Operator, 11, 11)
	}
	return p
}

// admit makes evidence that names the parties, and admits it.
func (p told) admit(act trust.Act, solo bool) error {
	e := evidenceOf(act)
	e.Subject, e.Author, e.Attester = p.subject.ID, p.author.ID, p.attester.ID
	return e.Admit(p.subject, p.author, p.attester, solo)
}

func TestAdmitEveryAct(t *testing.T) {
	for _, act := range acts {
		if err := partiesOf(act).admit(act, false); err != nil {
			t.Errorf("%s: %v", act, err)
		}
	}
}

func TestAdmitRefusesForEveryAct(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*told)
		want   error
	}{
		{"quarantined subject", func(p *told) { p.subject.Status = trust.Quarantined }, trust.ErrQuarantined},
		{"revoked subject", func(p *told) { p.subject.Status = trust.Revoked }, trust.ErrRevoked},
		{"unknown subject", func(p *told) { p.subject.Status = 0 }, trust.ErrRevoked},
		{"quarantined author", func(p *told) { p.author.Status = trust.Quarantined }, trust.ErrQuarantined},
		{"revoked author", func(p *told) { p.author.Status = trust.Revoked }, trust.ErrRevoked},
		{"the subject itself", func(p *told) { p.author = p.subject }, trust.ErrOwn},
		{"a person as subject", func(p *told) { p.subject = party(identity.Operator, 10, 10) }, trust.ErrNoParty},
	} {
		for _, act := range acts {
			p := partiesOf(act)
			row.change(&p)
			if err := p.admit(act, false); !errors.Is(err, row.want) {
				t.Errorf("%s, %s: %v", act, row.name, err)
			}
		}
	}
}

func TestAdmitWantsThePartiesThatAreNamed(t *testing.T) {
	p := partiesOf(trust.Outcome)
	e := evidenceOf(trust.Outcome)
	if err := e.Admit(p.subject, p.author, p.attester, false); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []told{
		{p.author, p.author, p.attester}, {p.subject, p.attester, p.attester}, {p.subject, p.author, p.author},
		{p.subject, p.author, trust.Party{}}, {},
	} {
		if err := e.Admit(wrong.subject, wrong.author, wrong.attester, false); !errors.Is(err, trust.ErrNoParty) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	e.Act = trust.Settled
	if err := e.Admit(p.subject, p.author, p.attester, false); !errors.Is(err, trust.ErrNoParty) {
		t.Errorf("a vote that was handed in: %v", err)
	}
}

func TestAdmitByAct(t *testing.T) {
	agent, person := identity.Agent, identity.Operator
	for _, row := range []struct {
		name   string
		act    trust.Act
		change func(*told)
		want   error // in a realm that several govern
		solo   error
	}{
		{"a person attests", trust.Outcome, func(p *told) { p.attester = party(person, 12, 12) }, nil, nil},
		{"own person attests", trust.Outcome, func(p *told) { p.attester = party(person, 10, 10) }, trust.ErrOwn, nil},
		{"own agent attests", trust.Outcome, func(p *told) { p.attester = party(agent, 3, 10) }, trust.ErrOwn, trust.ErrOwn},
		{"the author's colleague attests", trust.Outcome, func(p *told) { p.attester = party(agent, 3, 11) }, trust.ErrOwn, trust.ErrOwn},
		{"the author's person attests", trust.Outcome, func(p *told) { p.attester = party(person, 11, 11) }, trust.ErrOwn, nil},
		{"the author attests", trust.Outcome, func(p *told) { p.attester = p.author }, trust.ErrOwn, trust.ErrOwn},
		{"the subject attests", trust.Outcome, func(p *told) { p.attester = p.subject }, trust.ErrOwn, trust.ErrOwn},
		{"a quarantined one attests", trust.Outcome, func(p *told) { p.attester.Status = trust.Quarantined }, trust.ErrQuarantined, trust.ErrQuarantined},
		{"one of L0 attests", trust.Outcome, func(p *told) { p.attester.Level = identity.Quarantined }, trust.ErrQuarantined, trust.ErrQuarantined},
		{"one without operator attests", trust.Outcome, func(p *told) { p.attester.Operator = identity.ID{} }, trust.ErrOwn, trust.ErrOwn},
		{"a colleague asked", trust.Outcome, func(p *told) { p.author = party(agent, 2, 10) }, nil, nil},
		{"a person asked", trust.Outcome, func(p *told) { p.author = party(person, 11, 11) }, nil, nil},
		{"one of L0 asked", trust.Outcome, func(p *told) { p.author.Level = identity.Quarantined }, trust.ErrQuarantined, trust.ErrQuarantined},
		{"a person rates", trust.Rating, func(p *told) { p.author = party(person, 11, 11) }, nil, nil},
		{"a colleague rates", trust.Rating, func(p *told) { p.author = party(agent, 2, 10) }, trust.ErrOwn, trust.ErrOwn},
		{"own person rates", trust.Rating, func(p *told) { p.author = party(person, 10, 10) }, trust.ErrOwn, trust.ErrOwn},
		{"own person accuses", trust.Violation, func(p *told) { p.author = party(person, 10, 10) }, trust.ErrOwn, nil},
		{"an agent accuses", trust.Violation, func(p *told) { p.author = party(agent, 2, 11) }, trust.ErrNoParty, trust.ErrNoParty},
		{"own person endorses", trust.Endorsement, func(p *told) { p.author = party(person, 10, 10) }, trust.ErrOwn, nil},
		{"an agent endorses", trust.Endorsement, func(p *told) { p.author = party(agent, 2, 11) }, trust.ErrNoParty, trust.ErrNoParty},
		{"own person pardons", trust.Pardon, func(p *told) { p.author = party(person, 10, 10) }, nil, nil},
		{"an agent pardons", trust.Pardon, func(p *told) { p.author = party(agent, 2, 11) }, trust.ErrNoParty, trust.ErrNoParty},
		{"no detector", trust.Alarm, func(p *told) { p.author.Detects = false }, trust.ErrNoParty, trust.ErrNoParty},
		{"own detector", trust.Alarm, func(p *told) { p.author = party(agent, 2, 10); p.author.Detects = true }, trust.ErrOwn, trust.ErrOwn},
		{"a person raises an alarm", trust.Alarm, func(p *told) { p.author = party(person, 11, 11) }, nil, nil},
		{"own person raises an alarm", trust.Alarm, func(p *told) { p.author = party(person, 10, 10) }, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := partiesOf(row.act)
			row.change(&p)
			if err := p.admit(row.act, false); !errors.Is(err, row.want) || (row.want == nil && err != nil) {
				t.Errorf("several: %v, want %v", err, row.want)
			}
			if err := p.admit(row.act, true); !errors.Is(err, row.solo) || (row.solo == nil && err != nil) {
				t.Errorf("solo: %v, want %v", err, row.solo)
			}
		})
	}
}

func TestActWords(t *testing.T) {
	for act, want := range map[trust.Act]string{
		0: "none", trust.Outcome: "outcome", trust.Pardon: "pardon", trust.Settled: "vote", 8: "act(8)",
	} {
		if act.String() != want {
			t.Errorf("%d: %s, want %s", act, act, want)
		}
	}
}

// FuzzEvidence holds: evidence that parses was written by us, and verifying it never panics.
func FuzzEvidence(f *testing.F) {
	for _, act := range acts {
		f.Add(cosign(f, realm, evidenceOf(act), key(2), key(3)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wire.ParseCosigned[trust.Evidence](raw, wire.MaxStatement)
		if err != nil {
			return
		}
		again, err := wire.AddCosignature[trust.Evidence](realm, raw)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("read    %x\nwritten %x (%v)", raw, again, err)
		}
		if id, err := wire.IDOf(realm, c.Claim); err != nil || id != c.ID(realm) {
			t.Fatalf("%x: the claim encodes to other bytes than were read", raw)
		}
		_, _ = trust.VerifyEvidence(raw, realm, key(2).Public(), key(3).Public(), now)
		p := partiesOf(c.Claim.Act)
		if c.Claim.Admit(p.subject, p.author, p.attester, false) == nil && c.Claim.Subject == c.Claim.Author {
			t.Fatalf("%x: testifies for itself", raw)
		}
	})
}
