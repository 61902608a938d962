package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// change is one registry command that an operator gives.
type change struct {
	typ     registry.Type
	body    any
	of      identity.ID // whom it changes; zero for somebody new
	loosens bool        // needs as many operators as the policy says
	out     string      // file to collect signatures in, instead of handing it in
}

// change signs a command and hands it in, or writes it down for others to sign.
func (s session) change(ctx context.Context, c change) error {
	need := uint64(1)
	if c.loosens {
		need = s.Admin().Policy().Loosen
	}
	if need > 1 && c.out == "" {
		return fault.New(fault.NoQuorum, fmt.Sprintf("this loosens, and needs the signatures of %d operators", need)).
			WithHint("run it again with --out FILE; each other operator runs: conclave operator sign FILE; the last adds --submit")
	}
	s.changes()
	var expect uint64
	if c.loosens {
		var err error
		if expect, err = s.lastChange(ctx, c.of); err != nil {
			return err
		}
	}
	raw, err := s.Admin().Prepare(c.typ, c.body, expect)
	if err != nil {
		return err
	}
	if c.out != "" {
		return s.writeDown(c.out, raw, need)
	}
	return s.submit(ctx, raw)
}

// lastChange returns the index of a member's last change, so that what loosens is refused if anything else came first.
func (s session) lastChange(ctx context.Context, id identity.ID) (uint64, error) {
	if id.IsZero() {
		return 0, nil
	}
	members, err := s.Admin().Members(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range members {
		if m.ID == id {
			return m.Changed, nil
		}
	}
	return 0, nil
}

// applied is what a change's result looks like to scripts.
type applied struct {
	Command   sdk.Digest `json:"command"`
	Index     uint64     `json:"index"`
	Time      string     `json:"time"`
	Principal sdk.ID     `json:"principal"`
	Status    string     `json:"status"`
	Level     sdk.Level  `json:"level"`
}

// submit hands a signed command in and tells what it did.
func (s session) submit(ctx context.Context, raw []byte) error {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	answer, err := s.Admin().Submit(ctx, raw)
	if c.Claim.Type == registry.TypeSettle {
		return s.reviewed(c.Claim, err)
	}
	if err != nil {
		return err
	}
	if c.Claim.Type == registry.TypePolicy {
		return s.governed(answer)
	}
	if c.Claim.Type == registry.TypeEvidence {
		effect, err := admin.Effect(answer)
		if err != nil {
			return err
		}
		return s.told(effect)
	}
	r, err := registry.Result[registry.Change](answer)
	if err != nil {
		return err
	}
	doc := applied{
		Command: answer.Command, Index: answer.Index, Time: stamp(answer.Time), Principal: r.Principal,
		Status: r.Status.String(), Level: r.Level,
	}
	return s.emit(doc, func(w io.Writer) {
		level := ""
		if r.Principal.Role() == identity.Agent {
			level = ", " + doc.Level.String()
		}
		fmt.Fprintf(w, "%s is %s%s (command %d)\n", doc.Principal, doc.Status, level, doc.Index)
	})
}

// reviewed tells what became of a settlement that several operators signed.
func (s session) reviewed(c registry.Command, refused error) error {
	b, err := registry.Body[registry.Settle](c)
	switch {
	case err != nil:
		return err
	case refused != nil:
		return unsettled(refused, b.Proposal)
	}
	return s.settled(b)
}

// governed tells what a change of the policy did.
func (s session) governed(answer registry.Answer) error {
	r, err := registry.Result[registry.Governed](answer)
	if err != nil {
		return err
	}
	doc := map[string]any{
		"command": answer.Command, "index": answer.Index, "time": stamp(answer.Time),
		"policy_digest": r.Policy, "before": r.Before, "policies": r.Number,
	}
	return s.emit(doc, textLine(fmt.Sprintf("policy %s is in force (change %d, command %d)", short16(r.Policy), r.Number, answer.Index)))
}

// writeDown keeps a signed command in a file, and says who goes on.
func (p *program) writeDown(path string, raw []byte, need uint64) error {
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	if err != nil {
		return err
	}
	if err := datadir.WritePrivate(path, raw); err != nil {
		return err
	}
	have := uint64(len(c.Keys()))
	doc := map[string]any{
		"file": path, "type": c.Claim.Type, "signatures": have, "needed": need, "expires": stamp(c.Claim.Expires),
	}
	return p.emit(doc, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d signatures, good until %s\n", path, have, stamp(c.Claim.Expires))
		switch {
		case need == 0:
			fmt.Fprintf(w, "next: another operator's conclave operator sign %s, or --submit\n", path)
		case have < need:
			fmt.Fprintf(w, "%d more needed: conclave operator sign %s; the last adds --submit\n", need-have, path)
		default:
			fmt.Fprintf(w, "next: conclave operator sign %s --submit\n", path)
		}
	})
}

// readCommand reads a command that was written down.
func readCommand(path string) ([]byte, wire.Cosigned[registry.Command], error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, wire.Cosigned[registry.Command]{}, err
	}
	c, err := wire.ParseCosigned[registry.Command](raw, wire.MaxStatement)
	return raw, c, err
}

// explain says in words what a command does, from its signed bytes.
func explain(c registry.Command) (string, error) {
	switch c.Type {
	case registry.TypeStatus:
		b, err := registry.Body[registry.SetStatus](c)
		return fmt.Sprintf("make %s %s%s", b.Principal, b.Status, because(b.Reason)), err
	case registry.TypeLevel:
		b, err := registry.Body[registry.SetLevel](c)
		return fmt.Sprintf("put %s at level %s%s", b.Principal, b.Level, because(b.Reason)), err
	case registry.TypeOperator:
		b, err := registry.Body[registry.AddOperator](c)
		return fmt.Sprintf("make %s, called %s, an operator", b.Operator, quoted(b.Name)), err
	case registry.TypeGrant:
		b, err := registry.Body[registry.Grant](c)
		family := ""
		if b.Family != "" {
			family = "; its model family: " + visible(b.Family)
		}
		return fmt.Sprintf("let %s serve: %s%s", b.Principal, list(b.Serves), family), err
	case registry.TypePolicy:
		return policyIn(c)
	case registry.TypePromote:
		b, err := registry.Body[registry.SetLevel](c)
		return fmt.Sprintf("sign off %s for level %s%s", b.Principal, b.Level, because(b.Reason)), err
	case registry.TypeEvidence:
		b, err := registry.Body[registry.Evidence](c)
		if err != nil {
			return "", err
		}
		return wordIn(b.Statement)
	case registry.TypeSettle:
		b, err := registry.Body[registry.Settle](c)
		return fmt.Sprintf("settle decision %s: its action was %s to do%s", b.Proposal, judged(b.Right), because(b.Detail)), err
	}
	return "", fault.New(fault.WrongKind, "not a command that several operators sign: "+visible(string(c.Type)))
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", because " + quoted(reason)
}

// capabilityNames returns what a process serves.
func capabilityNames(f sdk.Found) []string {
	names := []string{}
	for _, c := range f.Capabilities {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}
