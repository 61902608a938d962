package proof

import (
	"encoding/hex"
	"fmt"

	"github.com/seed-3e86d5b2/conclave/consensus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// Explanation is a certificate taken apart for a reader who trusts no program: each signature with the exact bytes that it
// is over, so that any Ed25519 tool can check it, what it proves, and what the certificate does not prove. All texts are
// for people.
type Explanation struct {
	Realm      string      `json:"realm"`
	Valid      bool        `json:"valid"`
	Code       fault.Code  `json:"code,omitempty"`    // of the first check that failed
	Failure    string      `json:"failure,omitempty"` // the same in words
	Roster     uint64      `json:"roster"`
	Decision   *Outline    `json:"decision,omitempty"` // what it claims to be about, proved only if Valid
	Checks     []Meaning   `json:"checks"`
	Signatures []Signature `json:"signatures"`           // all of them, those that count for nothing too
	Unreadable []Unread    `json:"unreadable,omitempty"` // parts that are no statements
	Unproved   []string    `json:"not_proved"`
}

// Meaning is a [Check] with what it means.
type Meaning struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Means string `json:"means"`
}

// Outline is what a certificate says was decided. Times are Unix milliseconds by log time.
type Outline struct {
	ID        string `json:"id"`
	Action    Act    `json:"action"`
	Class     string `json:"class"`
	Rule      string `json:"rule"`
	Sum       uint64 `json:"sum,omitempty"`
	Alone     bool   `json:"alone,omitempty"`     // the proposer's level decided
	Emergency bool   `json:"emergency,omitempty"` // by the policy's emergency rule
	Permit    bool   `json:"permit,omitempty"`    // for a bounded set of actions
	Proposer  string `json:"proposer"`
	Executor  string `json:"executor"`
	Voters    int    `json:"voters"`
	Ballots   int    `json:"ballots"`
	Opened    int64  `json:"opened"`
	Deadline  int64  `json:"deadline"`
	Approved  int64  `json:"approved"`
	From      int64  `json:"from"`
	Until     int64  `json:"until"`
}

// Act is an action as scripts read it.
type Act struct {
	Kind     string              `json:"kind"`
	Target   string              `json:"target"`
	Params   map[string][]string `json:"params"`
	Amount   uint64              `json:"amount,omitempty"`
	Rollback string              `json:"rollback,omitempty"`
	Digest   string              `json:"digest"`
}

func actOf(a consensus.Action) Act {
	act := Act{
		Kind: a.Kind, Target: a.Target, Params: map[string][]string{}, Amount: a.Amount, Rollback: a.Rollback,
		Digest: a.Digest().String(),
	}
	for _, p := range a.Params {
		act.Params[p.Name] = p.Values
	}
	return act
}

// Signature is one signature in a certificate. Key, message and signature are lower-case hexadecimal.
type Signature struct {
	Part      string `json:"part"`             // where it stands: ballots[2], enrolments[0].token
	Kind      string `json:"kind"`             // of the statement
	Signer    string `json:"signer,omitempty"` // whose key it is, as far as the certificate tells; "" for a one-time key or a stranger's
	Key       string `json:"key"`              // Ed25519 public key, 32 bytes
	Message   string `json:"message"`          // the signed bytes: the Sig_structure (RFC 9052 §4.4)
	Signature string `json:"signature"`        // 64 bytes
	Holds     bool   `json:"holds"`
	Proves    string `json:"proves"`
}

// Unread is a part that cannot be read as what should stand there.
type Unread struct {
	Part string     `json:"part"`
	Code fault.Code `json:"code"`
}

// unproved is what no certificate proves.
var unproved = []string{
	"That the action is right, safe or wise, or does what its name says: only that these parties agreed to exactly these bytes.",
	"That nobody rejected it: a majority of the nodes together can keep ballots back, a veto among them. " +
		"The voter still has its ballot.",
	"That everybody was asked: a majority of the nodes can leave voters out of the electorate, as far as the rule can still " +
		"be met without them.",
	"That times are true beyond what a majority of the nodes' clocks say. Times inside statements are their signers' word.",
	"Anything about order, times or completeness against the one node of a realm that has only one; nor against a majority of several that lie together.",
	"That agents of different model families differ: a family is its operator's word.",
	"That the sum which the class stands on is complete: beyond this proposal's own amount it is the nodes' word.",
	"That voters' calibrations are true: nodes compute them from settled decisions.",
	"That levels, operators, keys and policy were the newest: nodes can hide a lowering, a quarantine, a revocation or a " +
		"newer policy.",
	"That different operators are different people, or that voters judged independently.",
	"That a key was in the right hands: a signature shows the key, not who used it.",
	"That ballots were secret until all were committed: commitments are not in the certificate.",
	"That the certificate is unused, how often a permit was used, or how the action ended: the registry's log says that.",
}

// Explain takes a certificate apart, whether it verifies or not. It is pure; the check is that of [VerifyCertificate].
func Explain(raw []byte, t Trust) Explanation {
	_, report, err := VerifyCertificate(raw, t)
	x := Explanation{
		Realm: t.Realm.String(), Valid: report.Valid, Code: report.Code, Roster: report.Roster,
		Signatures: []Signature{}, Unproved: append([]string(nil), unproved...),
	}
	if err != nil {
		x.Failure = err.Error()
	}
	for i, c := range report.Checks {
		x.Checks = append(x.Checks, Meaning{Name: c.Name, OK: c.OK, Means: steps[i].means})
	}
	encoding, err := Unpack(raw)
	var p parts
	if err == nil {
		p, err = read(encoding)
	}
	if err != nil {
		x.Unreadable = append(x.Unreadable, Unread{Part: "certificate", Code: fault.CodeOf(err)})
		return x
	}
	d := dissection{out: &x, c: p.c, names: namesIn(p.c)}
	d.all()
	return x
}

// dissection writes a certificate's parts into an explanation.
type dissection struct {
	out   *Explanation
	c     consensus.Certificate
	names names
}

// form is a statement with several signatures, as bytes.
type form struct {
	_          struct{} `cbor:",toarray"`
	Protected  []byte
	Payload    []byte
	Signatures []wire.Cosignature
}

// sentence says what a signature by the key proves, if it holds; who is the signer in words.
type sentence[T wire.Statement] func(claim T, key wire.PublicKey, who string) string

// cosigned explains each signature of a statement that several parties sign, and returns what it says.
func cosigned[T wire.Statement](d *dissection, part string, raw []byte, says sentence[T]) (claim T, ok bool) {
	c, err := wire.ParseCosigned[T](raw, wire.MaxStatement)
	var f form
	if err == nil {
		err = wire.Decode(raw, &f)
	}
	if err != nil {
		d.out.Unreadable = append(d.out.Unreadable, Unread{Part: part, Code: fault.CodeOf(err)})
		return claim, false
	}
	message := wire.SigStructure(claim.Kind(), d.realm(claim.Kind()), f.Payload)
	for _, s := range f.Signatures {
		d.signature(part, claim.Kind(), s.Key, message, s.Signature, says(c.Claim, s.Key, d.names.who(s.Key)))
	}
	return c.Claim, true
}

// signed explains the signature of a statement that one party signs, by the first of the keys that made it.
func signed[T wire.Statement](d *dissection, part string, raw []byte, keys func(T) []wire.PublicKey, says sentence[T]) (claim T, ok bool) {
	c, err := wire.Parse[T](raw, wire.MaxStatement)
	if err != nil {
		d.out.Unreadable = append(d.out.Unreadable, Unread{Part: part, Code: fault.CodeOf(err)})
		return claim, false
	}
	payload, signature := sign1(raw)
	message := wire.SigStructure(claim.Kind(), d.realm(claim.Kind()), payload)
	candidates := keys(c.Claim)
	by := candidates[0]
	for _, k := range candidates {
		if wire.Verify(k, message, signature) == nil {
			by = k
			break
		}
	}
	d.signature(part, claim.Kind(), by, message, signature, says(c.Claim, by, d.names.who(by)))
	return c.Claim, true
}

// sign1 returns payload and signature of a COSE_Sign1 that was parsed before.
func sign1(raw []byte) (payload []byte, s wire.Signature) {
	r := wire.NewReader(raw[1:])
	r.Array(4)
	r.Bytes()
	r.Map(0)
	payload = r.Bytes()
	r.Fixed(s[:])
	return payload, s
}

// realm returns the realm that a kind is signed under: a genesis makes one, and is signed under none.
func (d *dissection) realm(kind wire.Kind) wire.Realm {
	if kind == wire.Genesis {
		return wire.Realm{}
	}
	return d.c.Realm
}

func (d *dissection) signature(part string, kind wire.Kind, key wire.PublicKey, message []byte, s wire.Signature, proves string) {
	out := Signature{
		Part: part, Kind: string(kind), Key: hex.EncodeToString(key[:]), Message: hex.EncodeToString(message),
		Signature: hex.EncodeToString(s[:]), Holds: wire.Verify(key, message, s) == nil, Proves: proves,
	}
	if id, ok := d.names[key]; ok {
		out.Signer = id.String()
	}
	if !out.Holds {
		out.Proves = "Nothing: the signature does not verify by this key."
	}
	d.out.Signatures = append(d.out.Signatures, out)
}

// nth names an element of a list of parts.
func nth(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
