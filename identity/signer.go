package identity

import (
	"crypto/hpke"
	"fmt"
	"slices"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// ErrNotAllowed is returned when a key is asked to sign a kind of statement that it does not sign.
var ErrNotAllowed = fault.New(fault.Denied, "identity: this key does not sign that kind of statement")

// What each key signs (DESIGN §5). A role absent here signs nothing.
var (
	identityKinds = map[Role][]wire.Kind{
		Agent: {wire.Credential, wire.Command, wire.Proposal, wire.Ballot, wire.Commitment, wire.Card, wire.Succession,
			wire.Enrolment, wire.Evidence},
		Node: {wire.Credential, wire.Command, wire.Head, wire.Ticket, wire.Roster, wire.Succession, wire.Admission},
		Operator: {wire.Credential, wire.Command, wire.Proposal, wire.Ballot, wire.Token, wire.Succession, wire.Genesis,
			wire.Roster, wire.JoinToken, wire.Evidence},
	}
	processKinds = []wire.Kind{wire.Envelope, wire.Batch, wire.Presence}
)

// Signer is a principal's identity key. It signs only the statements that the principal's role may make, never bytes
// somebody else chose. It is safe for concurrent use. The zero value signs nothing.
type Signer struct {
	id  ID
	key wire.Key
}

// NewSigner returns the signer of a principal whose identity key is now key: its inception key, or a successor.
func NewSigner(id ID, key wire.Key) Signer { return Signer{id: id, key: key} }

// GenerateSigner makes a new principal of the role from crypto/rand and returns its seed for storage.
func GenerateSigner(role Role) (Signer, [32]byte, error) {
	seed, err := newSeed()
	if err != nil {
		return Signer{}, [32]byte{}, err
	}
	key := wire.NewKey(seed)
	return NewSigner(NewID(role, key.Public()), key), seed, nil
}

// ID returns whose key it is.
func (s Signer) ID() ID { return s.id }

// Public returns the identity key in use now.
func (s Signer) Public() wire.PublicKey { return s.key.Public() }

// Key returns the private key, for the TLS and libp2p handshakes of a node ([wire.Key.Handshake]).
func (s Signer) Key() wire.Key { return s.key }

// Sign signs one statement alone. Errors: [ErrNotAllowed], and what the statement's Check says.
func (s Signer) Sign(realm wire.Realm, statement wire.Statement) ([]byte, error) {
	if !slices.Contains(identityKinds[s.id.Role()], statement.Kind()) {
		return nil, fmt.Errorf("%w: %s by %s", ErrNotAllowed, statement.Kind(), s.id.Role())
	}
	return wire.Sign(s.key, realm, statement)
}

// Cosign makes the cosigned form of a statement with this signature and those of the further keys.
func (s Signer) Cosign(realm wire.Realm, statement wire.Statement, further ...wire.Key) ([]byte, error) {
	if !slices.Contains(identityKinds[s.id.Role()], statement.Kind()) {
		return nil, fmt.Errorf("%w: %s by %s", ErrNotAllowed, statement.Kind(), s.id.Role())
	}
	return wire.Cosign(realm, statement, append([]wire.Key{s.key}, further...)...)
}

// AddTo adds this signature to a cosigned statement that others have begun. Its kind is T's.
func AddTo[T wire.Statement](s Signer, realm wire.Realm, raw []byte) ([]byte, error) {
	var t T
	if !slices.Contains(identityKinds[s.id.Role()], t.Kind()) {
		return nil, fmt.Errorf("%w: %s by %s", ErrNotAllowed, t.Kind(), s.id.Role())
	}
	return wire.AddCosignature[T](realm, raw, s.key)
}

// Process is the keys that one running process uses, with the credential that binds them to its principal. They live
// in memory only. It is safe for concurrent use.
type Process struct {
	realm      wire.Realm
	principal  ID
	connect    wire.Key
	signing    wire.Key
	sealing    hpke.PrivateKey
	credential wire.Verified[Credential]
}

// NewProcess makes fresh keys and a credential for them, signed by s, valid from now (Unix milliseconds) for life
// milliseconds, at most [MaxCredentialLife].
func NewProcess(realm wire.Realm, s Signer, epoch uint64, now, life int64) (*Process, error) {
	p := &Process{realm: realm, principal: s.ID()}
	var err error
	if p.connect, err = wire.GenerateKey(nil); err != nil {
		return nil, err
	}
	if p.signing, err = wire.GenerateKey(nil); err != nil {
		return nil, err
	}
	if p.sealing, err = SealingKEM().GenerateKey(); err != nil {
		return nil, fmt.Errorf("identity: sealing key: %w", err)
	}
	raw, err := s.Sign(realm, Credential{
		Version: 1, Principal: s.ID(), Epoch: epoch, Connect: p.connect.Public(), Signing: p.signing.Public(),
		Sealing: wire.Hash(p.SealingKey()), Issued: now, Expires: now + life,
	})
	if err != nil {
		return nil, err
	}
	if p.credential, err = VerifyCredential(raw, realm, s.Public(), now); err != nil {
		return nil, err
	}
	return p, nil
}

// SealingKEM is the key encapsulation that envelopes are sealed with: X25519 and ML-KEM-768 combined.
func SealingKEM() hpke.KEM { return hpke.MLKEM768X25519() }

// Principal returns whose process it is.
func (p *Process) Principal() ID { return p.principal }

// Realm returns the realm its credential belongs to.
func (p *Process) Realm() wire.Realm { return p.realm }

// Credential returns the statement of its keys.
func (p *Process) Credential() wire.Verified[Credential] { return p.credential }

// Connect returns the key of the TLS client certificate. It signs handshakes only.
func (p *Process) Connect() wire.Key { return p.connect }

// SealingKey returns the encoded HPKE public key, 1,216 bytes.
func (p *Process) SealingKey() []byte { return p.sealing.PublicKey().Bytes() }

// Sealing returns the private key that opens what is sealed to this process.
func (p *Process) Sealing() hpke.PrivateKey { return p.sealing }

// Sign signs an envelope, batch or presence. Errors: [ErrNotAllowed], and what the statement's Check says.
func (p *Process) Sign(statement wire.Statement) ([]byte, error) {
	if !slices.Contains(processKinds, statement.Kind()) {
		return nil, fmt.Errorf("%w: %s by a process", ErrNotAllowed, statement.Kind())
	}
	return wire.Sign(p.signing, p.realm, statement)
}

// SignNamed is Sign, and returns the statement's name as well.
func (p *Process) SignNamed(statement wire.Statement) ([]byte, wire.Digest, error) {
	if !slices.Contains(processKinds, statement.Kind()) {
		return nil, wire.Digest{}, fmt.Errorf("%w: %s by a process", ErrNotAllowed, statement.Kind())
	}
	return wire.SignNamed(p.signing, p.realm, statement)
}
