// Runs every vector of the folders that this verifier covers, and wants the same answer and the same code.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { outcome, statements } from './statements.mjs';

const vectors = new URL('../vectors/', import.meta.url);

// Folders that it does not cover: with a folder in neither list the test fails.
const NOT_COVERED = ['batch', 'card', 'command', 'encoding', 'envelope', 'frame', 'presence', 'ticket'];

for (const folder of readdirSync(vectors).sort()) {
  if (NOT_COVERED.includes(folder)) continue;
  const files = readdirSync(new URL(`${folder}/`, vectors)).sort();
  test(folder, async (t) => {
    assert.ok(files.length > 0, 'no vectors');
    for (const file of files) {
      const v = JSON.parse(readFileSync(new URL(`${folder}/${file}`, vectors)));
      await t.test(v.name, () => {
        assert.ok(statements[v.statement], `no verifier for ${v.statement}`);
        const input = Buffer.concat([Buffer.from(v.input, 'hex'), Buffer.alloc(v.zeros ?? 0)]);
        assert.equal(outcome(v.statement, { realm: Buffer.from(v.realm, 'hex'), context: v.context, now: BigInt(v.now), input }), v.expect, v.check);
      });
    }
  });
}

test('the list of folders that are not covered names folders', () => {
  const have = readdirSync(vectors);
  for (const folder of NOT_COVERED) assert.ok(have.includes(folder), folder);
});
