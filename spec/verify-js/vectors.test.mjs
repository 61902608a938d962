// Runs every vector below ../vectors, and wants the same answer and the same code. There is no list of exceptions: a folder, a
// file or a statement that this verifier does not know fails.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { outcome, statements } from './statements.mjs';

const vectors = new URL('../vectors/', import.meta.url);
const ran = new Map();

const known = (v) => ({
  realm: Buffer.from(v.realm, 'hex'), context: v.context, now: BigInt(v.now),
  input: Buffer.concat([Buffer.from(v.input, 'hex'), Buffer.alloc(v.zeros ?? 0)]),
});

for (const folder of readdirSync(vectors).sort()) {
  const files = readdirSync(new URL(`${folder}/`, vectors)).sort();
  test(folder, async (t) => {
    assert.ok(files.length > 0, 'no vectors');
    for (const file of files) {
      const v = JSON.parse(readFileSync(new URL(`${folder}/${file}`, vectors)));
      await t.test(v.name, () => {
        assert.equal(file, `${v.name}.json`);
        assert.ok(statements[v.statement], `no verifier for ${v.statement}`);
        assert.equal(outcome(v.statement, known(v)), v.expect, v.check);
        ran.set(v.statement, (ran.get(v.statement) ?? new Set()).add(v.expect));
      });
    }
  });
}

test('every statement accepts a vector and refuses one', () => {
  for (const name of Object.keys(statements)) {
    assert.ok(ran.get(name)?.has('ok'), `no vector of ${name} was accepted`);
    assert.ok(ran.get(name).size > 1, `no vector of ${name} was refused`);
  }
});
