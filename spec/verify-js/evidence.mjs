// What somebody states about an agent (evidence.md). What it counts for is the ledger's to reckon, and not checked here.
import { bool, bytes, byte, int, map, text, uint } from './cbor.mjs';
import { must } from './refuse.mjs';
import {
  AGENT, OPERATOR, checkCurrent, checkId, checkLife, checkVersion, digest, id, isCapability, kind, parseCosigned, role, zero,
} from './wire.mjs';

const DAY = 86400000n, MAX_PARDON = 32000000n, OUTCOME = 1n;

// used says of each act which fields it has, and whether what they say is in range.
const within = (least, most, n) => n >= least && n <= most;
const used = new Map([
  [OUTCOME, [['attester', 'action', 'request', 'result', 'ok'], () => true]],
  [2n, [['value'], (e) => within(-1000n, 1000n, e.value ?? 0n)]],
  [3n, [['severity'], (e) => within(1n, 4n, e.severity ?? 0n)]],
  [4n, [['value'], (e) => within(1n, 1000n, e.value ?? 0n)]],
  [5n, [['amount'], (e) => (e.amount ?? 0n) > 0n]],
  [6n, [['amount'], (e) => within(1n, MAX_PARDON, e.amount ?? 0n)]],
]);
const all = ['attester', 'action', 'request', 'result', 'ok', 'value', 'severity', 'amount'];
const absent = (v) => v === undefined || v === false || (Buffer.isBuffer(v) ? zero(v) : v === 0n || v === '');

function checkTeller(one) {
  must([AGENT, OPERATOR].includes(role(one)), 'malformed', 'neither an agent nor a person');
  checkId(one);
}

const evidence = kind('evidence', map([0, 'version', uint], [1, 'act', byte], [2, 'subject', id], [3, 'author', id], [4, 'attester', id],
  [5, 'nonce', bytes(16)], [6, 'issued', int], [7, 'expires', int], [8, '?action', text], [9, 'request', digest], [10, 'result', digest],
  [11, '?ok', bool], [12, '?value', int], [13, '?severity', uint], [14, '?amount', int], [15, '?detail', text]), (e) => {
  checkVersion(e.version);
  must(role(e.subject) === AGENT, 'malformed', 'about no agent');
  checkId(e.subject);
  checkTeller(e.author);
  must(!zero(e.nonce), 'malformed', 'no nonce');
  checkLife(e, DAY);
  must(Buffer.byteLength(e.detail ?? '') <= 256, 'too_large', 'detail');
  must(used.has(e.act), 'malformed', 'no such act');
  const [fields, inRange] = used.get(e.act);
  if (e.act === OUTCOME) {
    checkTeller(e.attester);
    must(isCapability(e.action ?? ''), 'malformed', "outcome's action");
    must(!zero(e.request) && (!e.ok || !zero(e.result)), 'malformed', 'outcome without request or result');
  }
  must(inRange(e), 'malformed', 'out of range');
  must(all.every((name) => fields.includes(name) || absent(e[name])), 'malformed', 'a field of another act');
});

// verifyEvidence checks a statement by the current keys of its author and, of an outcome, of its attester.
export function verifyEvidence(raw, realm, author, attester, now) {
  const c = parseCosigned(evidence, raw);
  checkCurrent(c.claim.issued, c.claim.expires, now);
  const signers = c.claim.act === OUTCOME ? [author, attester] : [author];
  must(c.signers.length <= signers.length, 'denied', 'signed by somebody else as well');
  return c.cosignedBy(realm, signers.length, signers).claim;
}
