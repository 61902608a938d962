// ML-KEM by itself: the bodies of the vectors, which another implementation sealed, are what it opens; here is what no vector shows.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { decapsulate, encapsulate, keyFrom } from './mlkem.mjs';

const seed = Buffer.from(Array.from({ length: 64 }, (_, i) => i));
const key = keyFrom(seed);
const hex = (b) => b.toString('hex');
const sum = (b) => hex(createHash('sha256').update(b).digest());

test('a seed makes the key that another implementation makes of it', () => {
  assert.equal(key.encapsulation.length, 1184);
  assert.equal(sum(key.encapsulation), '0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9');
});

test('what another implementation encapsulated is opened', () => {
  const { ciphertext, secret } = encapsulate(key, Buffer.alloc(32, 7));
  assert.equal(ciphertext.length, 1088);
  assert.equal(hex(decapsulate(key, ciphertext)), hex(secret));
});

test('a ciphertext that nobody made gives the secret that another implementation gives', () => {
  const { ciphertext, secret } = encapsulate(key, Buffer.alloc(32, 7));
  assert.equal(hex(secret), 'f3409cb545c0757aab3d7c7b9e8be4225b4aac1107f6663f1f19dc676a69de60');
  ciphertext[1087] ^= 1;
  assert.equal(hex(decapsulate(key, ciphertext)), '1a6d276b2c17e543440f2aaaff7377c32409d4dd4594b66072ac3d6268ecb137');
  assert.throws(() => decapsulate(key, ciphertext.subarray(1)), RangeError);
});
