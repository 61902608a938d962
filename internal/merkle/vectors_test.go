package merkle_test

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/internal/merkle"
)

// The eight leaves and the answers below are those of the Certificate Transparency project's
// reference test for RFC 6962 (google/certificate-transparency, merkle_tree_test.cc).
var vectorLeaves = []string{
	"",
	"00",
	"10",
	"2021",
	"3031",
	"40414243",
	"5051525354555657",
	"606162636465666768696a6b6c6d6e6f",
}

// vectorRoots[i] is the root of the first i+1 leaves.
var vectorRoots = []string{
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

var vectorInclusion = []struct {
	index, size uint64
	proof       []string
}{
	{0, 1, nil},
	{0, 8, []string{
		"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
	{5, 8, []string{
		"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
	{2, 3, []string{
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
	{1, 5, []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
}

var vectorConsistency = []struct {
	old, new uint64
	proof    []string
}{
	{1, 1, nil},
	{1, 8, []string{
		"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		"6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
	{6, 8, []string{
		"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
		"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
	{2, 5, []string{
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
		"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
}

func TestVectors(t *testing.T) {
	if got := merkle.EmptyRoot().String(); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("EmptyRoot = %s", got)
	}
	leaves := leavesOf(t, vectorLeaves)
	tree, err := merkle.Restore(leaves)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range vectorRoots {
		got, err := tree.RootAt(uint64(i + 1))
		if err != nil || got.String() != want {
			t.Errorf("RootAt(%d) = %s, %v, want %s", i+1, got, err, want)
		}
		if got := merkle.Root(leaves[:i+1]).String(); got != want {
			t.Errorf("Root of %d = %s, want %s", i+1, got, want)
		}
	}
	for _, v := range vectorInclusion {
		got, err := tree.Inclusion(v.index, v.size)
		if err != nil || !slices.Equal(got, hashes(t, v.proof)) {
			t.Errorf("Inclusion(%d, %d) = %s, %v, want %s", v.index, v.size, got, err, v.proof)
		}
		root := hashes(t, vectorRoots)[v.size-1]
		if err := merkle.VerifyInclusion(root, v.size, v.index, leaves[v.index], hashes(t, v.proof)); err != nil {
			t.Errorf("VerifyInclusion(%d, %d) = %v", v.index, v.size, err)
		}
	}
	for _, v := range vectorConsistency {
		got, err := tree.Consistency(v.old, v.new)
		if err != nil || !slices.Equal(got, hashes(t, v.proof)) {
			t.Errorf("Consistency(%d, %d) = %s, %v, want %s", v.old, v.new, got, err, v.proof)
		}
		roots := hashes(t, vectorRoots)
		if err := merkle.VerifyConsistency(v.old, roots[v.old-1], v.new, roots[v.new-1], hashes(t, v.proof)); err != nil {
			t.Errorf("VerifyConsistency(%d, %d) = %v", v.old, v.new, err)
		}
	}
}

func leavesOf(t *testing.T, data []string) []merkle.Hash {
	t.Helper()
	out := make([]merkle.Hash, len(data))
	for i, s := range data {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = merkle.LeafHash(b)
	}
	return out
}

func hashes(t *testing.T, in []string) []merkle.Hash {
	t.Helper()
	out := make([]merkle.Hash, len(in))
	for i, s := range in {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != len(out[i]) {
			t.Fatalf("bad hash %q", s)
		}
		copy(out[i][:], b)
	}
	return out
}
