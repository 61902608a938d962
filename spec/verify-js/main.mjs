// node main.mjs certificate FILE --realm ID [--roster N]
//
// Checks a certificate and prints each step. FILE is the certificate's bytes, or "-" for standard input.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { verifyCertificate } from './certificate.mjs';
import { Refusal } from './refuse.mjs';

const usage = 'usage: node main.mjs certificate FILE --realm ID [--roster N]';

function run() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { realm: { type: 'string' }, roster: { type: 'string', default: '0' } } });
  const [what, file] = positionals;
  const named = what === 'certificate' && positionals.length === 2 && /^[0-9a-f]{64}$/.test(values.realm ?? '') && /^\d+$/.test(values.roster);
  if (!named) throw new TypeError('certificate, FILE and a realm id of 64 hexadecimal digits');
  const report = (name, holds) => console.log(`${holds ? 'ok  ' : 'FAIL'}  ${name}`);
  const proved = verifyCertificate(readFileSync(file === '-' ? 0 : file), Buffer.from(values.realm, 'hex'), BigInt(values.roster), report);
  const { proposal: p, c: { verdict: v, ballots } } = proved;
  console.log(`approved: ${p.action.kind} ${p.action.target ?? ''}`.trimEnd() + `, ${ballots.length} ballots, from ${v.from} until ${v.until} (Unix ms)`);
}

try {
  run();
} catch (error) {
  console.error(error instanceof Refusal ? `refused: ${error.message}` : `${error.message}\n${usage}`);
  process.exitCode = error instanceof Refusal ? 1 : 2;
}
