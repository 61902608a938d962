package sdk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"github.com/seed-3e86d5b2/conclave/envelope"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk/standing"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// witnessed is a call whose two envelopes are kept for evidence. nil keeps nothing.
type witnessed struct {
	exchange *standing.Exchange
	parts    standing.Parts
}

// witness has a request kept as it leaves, with the salt that its signed digest is of, if the context wants that.
func witness(ctx context.Context, s *session, i *instance, l *lot, content []byte) *witnessed {
	x := standing.Followed(ctx)
	if x == nil || l.route.purpose != envelope.Request {
		return nil
	}
	w := &witnessed{exchange: x, parts: standing.Parts{
		Agent: l.route.to.Agent, Asking: s.process.Credential().Raw(), Asked: i.credential.Raw(),
	}}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	l.salt = &oneSalt{salt}
	file := l.signed
	l.signed = func(signed envelope.Signed) {
		w.parts.Request = standing.Part{Envelope: signed.Raw, Salt: salt, Content: content}
		x.Keep(w.parts)
		file(signed)
	}
	return w
}

// saltBytes is the size of an envelope's salt.
const saltBytes = 16

// oneSalt is read once: an envelope that asks for more than the salt is not sealed.
type oneSalt struct{ left []byte }

// Read implements [io.Reader].
func (s *oneSalt) Read(p []byte) (int, error) {
	n := copy(p, s.left)
	if s.left = s.left[n:]; n == 0 {
		return 0, errOneSalt
	}
	return n, nil
}

var errOneSalt = errors.New("sdk: one salt is for one envelope")

// answered keeps the answer too. m is nil where none came.
func (w *witnessed) answered(m *envelope.Message) {
	if w == nil || m == nil {
		return
	}
	w.parts.Answer = standing.Part{Envelope: m.Raw(), Salt: m.Salt(), Content: m.Content()}
	w.parts.Answered = true
	w.exchange.Keep(w.parts)
}

var (
	errUnproven = fault.New(fault.BadSignature, "sdk: the envelopes shown are not of one call between the two")
	errLongAgo  = fault.New(fault.Expired, "sdk: the call is too long ago to be reported")
	errContent  = fault.New(fault.BadSignature, "sdk: the content shown is not what was signed")
)

// maxProven is for how long a call can be proved, in milliseconds.
const maxProven = trust.MaxEvidenceLife / 2

// Prove implements [standing.Bench]. It verifies both credentials by what the realm says now, both signatures, that the
// answer is to the request and answers all of it, that the contents are what was signed, and that it was not long ago: the
// ledger remembers for [trust.MaxEvidenceLife] which requests it has counted.
func (n bench) Prove(ctx context.Context, author ID, p standing.Parts) (standing.Proof, error) {
	asking, err := n.credential(ctx, author, p.Asking)
	if err != nil {
		return standing.Proof{}, err
	}
	asked, err := n.credential(ctx, p.Agent, p.Asked)
	if err != nil {
		return standing.Proof{}, err
	}
	e, request, err := n.attested(p.Request, asking)
	if err != nil {
		return standing.Proof{}, err
	}
	if e.Purpose != envelope.Request || e.To != envelope.ToProcess(p.Agent, asked.ID()) {
		return standing.Proof{}, errUnproven
	}
	switch now := n.link.now(); {
	case now-e.Issued > maxProven:
		return standing.Proof{}, errLongAgo
	case e.Issued > now+identity.Skew:
		return standing.Proof{}, errUnproven
	}
	var content requestContent
	if err := wire.Decode(p.Request.Content, &content); err != nil {
		return standing.Proof{}, err
	}
	if content.Window != (windowContent{}) { // one item of a stream is not its answer
		return standing.Proof{}, errUnproven
	}
	proof := standing.Proof{Request: request, Capability: content.Capability, Content: content.Body}
	if !p.Answered {
		return proof, nil
	}
	a, result, err := n.attested(p.Answer, asked)
	if err != nil {
		return standing.Proof{}, err
	}
	if !a.Purpose.Answers() || a.InReplyTo != request || a.To != envelope.ToProcess(author, asking.ID()) {
		return standing.Proof{}, errUnproven
	}
	proof.Result = result
	if a.Purpose == envelope.Reply {
		proof.Answer = p.Answer.Content
		return proof, nil
	}
	var f faultContent
	if err := wire.Decode(p.Answer.Content, &f); err != nil || f.Code == "" {
		return standing.Proof{}, errForm
	}
	if f.Unhandled != 0 { // nothing was done, so nothing ended
		return standing.Proof{}, errUnproven
	}
	proof.Failure = fault.New(f.Code, f.Message)
	return proof, nil
}

// credential verifies that a process was a principal's.
func (n bench) credential(ctx context.Context, of ID, raw []byte) (c wire.Verified[identity.Credential], err error) {
	err = vouched(ctx, n.link, nil, control.OpWho, control.Who{ID: of}, func(p control.Principal, l lore) error {
		i, err := verifyInstance(control.Vouched{Credential: raw, Principal: p}, l, n.link.now())
		if err == nil && i.ticket.Statement().Principal != of {
			err = errForm
		}
		c = i.credential
		return err
	})
	return c, err
}

// attested verifies one envelope by its process's key, and its content by the signed digest.
func (n bench) attested(p standing.Part, by wire.Verified[identity.Credential]) (envelope.Envelope, wire.Digest, error) {
	e, id, err := envelope.Attest(p.Envelope, envelope.DefaultLimit, n.link.realm, by.Statement().Signing)
	if err != nil {
		return e, id, err
	}
	if e.From != by.Statement().Principal || e.Credential != by.ID() {
		return e, id, errUnproven
	}
	h := sha256.New()
	h.Write(p.Salt)
	h.Write(p.Content)
	if len(p.Salt) != saltBytes || wire.Digest(h.Sum(nil)) != e.Digest {
		return e, id, errContent
	}
	return e, id, nil
}
