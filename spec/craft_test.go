package spec_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

// What the vectors are made of. Keys are those of the seeds {n, 0, 0, …}; times are around now.
const (
	now    = int64(1_790_000_000_000) // Unix milliseconds
	minute = int64(60_000)
	hour   = 60 * minute
)

func key(n byte) wire.Key { return wire.NewKey([32]byte{n}) }

func id(role identity.Role, n byte) identity.ID { return identity.NewID(role, key(n).Public()) }

// ids are the n principals of the role from the key first on, sorted.
func ids(role identity.Role, first byte, n int) []identity.ID {
	all := make([]identity.ID, n)
	for i := range all {
		all[i] = id(role, first+byte(i))
	}
	slices.SortFunc(all, identity.ID.Compare)
	return all
}

// keys are n keys from first on.
func keys(first byte, n int) []wire.Key {
	all := make([]wire.Key, n)
	for i := range all {
		all[i] = key(first + byte(i))
	}
	return all
}

func joined(lists ...[]wire.Key) []wire.Key { return slices.Concat(lists...) }

// changed returns a copy of v that change has edited.
func changed[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// encode encodes what Check may refuse.
func encode(v any) []byte {
	b, err := wire.Encode(v)
	if err != nil {
		panic(err)
	}
	return b
}

func header(kind wire.Kind) []byte {
	return encode(map[int]any{1: -19, 16: kind.Typ()})
}

// sigStructure is the bytes that a signature covers, for any header.
func sigStructure(kind wire.Kind, realm wire.Realm, head, payload []byte) []byte {
	return encode([]any{"Signature1", head, wire.External(kind, realm), payload})
}

func signature(k wire.Key, message []byte) []byte {
	b, err := k.Handshake().Sign(nil, message, crypto.Hash(0))
	if err != nil {
		panic(err)
	}
	return b
}

// sign1 is a tagged COSE_Sign1 whose parts need not fit.
func sign1(head []byte, unprotected any, payload, sig []byte) []byte {
	return append([]byte{0xd2}, encode([]any{head, unprotected, payload, sig})...)
}

var none = map[int]int{}

// signed is a statement signed by k whatever it says.
func signed(k wire.Key, realm wire.Realm, s wire.Statement) []byte {
	return signedBytes(k, realm, s.Kind(), encode(s))
}

func signedBytes(k wire.Key, realm wire.Realm, kind wire.Kind, payload []byte) []byte {
	head := header(kind)
	return sign1(head, none, payload, signature(k, sigStructure(kind, realm, head, payload)))
}

// pair is one entry of a cosigned statement.
type pair struct{ key, sig []byte }

func pairs(realm wire.Realm, kind wire.Kind, payload []byte, by []wire.Key) []pair {
	var all []pair
	for _, k := range by {
		public := k.Public()
		all = append(all, pair{public[:], signature(k, sigStructure(kind, realm, header(kind), payload))})
	}
	return sorted(all)
}

func sorted(all []pair) []pair {
	slices.SortFunc(all, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	return all
}

// assembled is a cosigned statement of the pairs, in their order.
func assembled(kind wire.Kind, payload []byte, all []pair) []byte {
	list := []any{}
	for _, p := range all {
		list = append(list, []any{p.key, p.sig})
	}
	return encode([]any{header(kind), payload, list})
}

// cosigned is a statement signed by the keys whatever it says.
func cosigned(realm wire.Realm, s wire.Statement, by ...wire.Key) []byte {
	payload := encode(s)
	return assembled(s.Kind(), payload, pairs(realm, s.Kind(), payload, by))
}

// edited replaces the one place where old occurs, both in hexadecimal with spaces as wanted.
func edited(b []byte, old, new string) []byte {
	from, to := unhex(old), unhex(new)
	if bytes.Count(b, from) != 1 {
		panic("not once: " + old)
	}
	return bytes.Replace(b, from, to, 1)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func public(k wire.Key) hexBytes {
	b := k.Public()
	return b[:]
}

// asJSON is a vector's context.
func asJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
