package identity

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// A process signs and names its own kinds of statements alone, and the name is that of the signed form.
func TestProcessSignsAndNames(t *testing.T) {
	signer, _, err := GenerateSigner(Agent)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProcess(wire.Realm{1}, signer, 1, 1_000, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	kind := processKinds[0]
	raw, id, err := p.SignNamed(named{kind})
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Sign(named{kind})
	if err != nil || !bytes.Equal(raw, again) {
		t.Errorf("Sign gives another form: %v", err)
	}
	if want, err := wire.IDOf(p.Realm(), named{kind}); err != nil || id != want {
		t.Errorf("id %s, want %s: %v", id, want, err)
	}
	if _, id, err := p.SignNamed(named{wire.Credential}); !errors.Is(err, ErrNotAllowed) || !id.IsZero() {
		t.Errorf("a credential by a process: %s %v", id, err)
	}
}

type named struct{ kind wire.Kind }

func (n named) Kind() wire.Kind               { return n.kind }
func (named) Check() error                    { return nil }
func (named) AppendPayload(dst []byte) []byte { return append(dst, 0xa0) }
