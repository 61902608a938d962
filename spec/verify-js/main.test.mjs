// Runs the program on vectors of certificates.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('main.mjs', import.meta.url));
const vector = (name) => JSON.parse(readFileSync(new URL(`../vectors/certificate/${name}.json`, import.meta.url)));
const run = (input, ...args) => spawnSync(process.execPath, [main, ...args], { input, encoding: 'utf8' });

test('an honest certificate passes all steps', () => {
  const v = vector('ok-policy-replaced'), out = run(Buffer.from(v.input, 'hex'), 'certificate', '-', '--realm', v.realm);
  assert.equal(out.status, 0, out.stderr);
  assert.equal(out.stdout.match(/^ok {4}/gm).length, 12);
  assert.match(out.stdout, /^approved: process\.exec /m);
});

test('a refused one names the step and the code', () => {
  const v = vector('no-ballots'), out = run(Buffer.from(v.input, 'hex'), 'certificate', '-', '--realm', v.realm);
  assert.equal(out.status, 1);
  assert.match(out.stdout, /^FAIL {2}ballots$/m);
  assert.match(out.stderr, /^refused: no_quorum/);
});

test('a certificate is for one realm, and under a roster that is not too old', () => {
  const v = vector('ok-solo'), input = Buffer.from(v.input, 'hex');
  assert.match(run(input, 'certificate', '-', '--realm', 'ab'.repeat(32)).stderr, /^refused: wrong_realm/);
  assert.match(run(input, 'certificate', '-', '--realm', v.realm, '--roster', '1').stderr, /^refused: superseded/);
});

test('what it does not understand it says how to ask for', () => {
  for (const args of [[], ['certificate', '-'], ['ballot', '-', '--realm', 'ab'.repeat(32)], ['certificate', '-', '--realm', 'AB']]) {
    const out = run('', ...args);
    assert.equal(out.status, 2, args.join(' '));
    assert.match(out.stderr, /usage: node main\.mjs/);
  }
});

test('every byte of a certificate counts', () => {
  const v = vector('ok-solo'), input = Buffer.from(v.input, 'hex');
  for (const at of [0, 1, 300, 800, 1000, 1200, 1600, 1800, 2000, input.length - 1]) {
    const changed = Buffer.from(input);
    changed[at] ^= 1;
    assert.equal(run(changed, 'certificate', '-', '--realm', v.realm).status, 1, `byte ${at}`);
  }
});
