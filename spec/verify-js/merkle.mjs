// The hash tree of logs and batches (RFC 9162, section 2.1) with SHA-256.
import { same, sha256 } from './wire.mjs';

const leafHash = (data) => sha256(Buffer.concat([Buffer.from([0]), data]));
const node = (a, b) => sha256(Buffer.concat([Buffer.from([1]), a, b]));

// root is the root of a tree of these leaves, at least one.
export function root(leaves) {
  let level = leaves.map(leafHash);
  while (level.length > 1) level = level.flatMap((hash, i) => (i & 1 ? [] : [i + 1 < level.length ? node(hash, level[i + 1]) : hash]));
  return level[0];
}

// leads says whether a path leads from the leaf at the index, from 0, to the root of a tree of exactly so many leaves
// (section 2.1.3.2).
export function leads(size, index, data, path, wanted) {
  if (index >= size) return false;
  let hash = leafHash(data), at = index, last = size - 1n;
  for (const sibling of path) {
    if (last === 0n) return false;
    if (at & 1n || at === last) {
      hash = node(sibling, hash);
      while (!(at & 1n) && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    } else hash = node(hash, sibling);
    [at, last] = [at >> 1n, last >> 1n];
  }
  return last === 0n && same(hash, wanted);
}
