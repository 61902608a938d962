// A majority of nodes' word on one principal, and what it allows (ticket.md).
import { byte, int, list, map, text, uint } from './cbor.mjs';
import { checkKey } from './ed25519.mjs';
import { majority } from './realm.mjs';
import { must, refuse } from './refuse.mjs';
import {
  AGENT, NODE, OPERATOR, checkCurrent, checkId, checkLife, checkVersion, digest, id, isName, isPatterns, key, keyOf, kind, parseCosigned,
  role, same, zero,
} from './wire.mjs';

const LONGEST = 600000n;
export const ACTIVE = 1n, QUARANTINED = 2n, REVOKED = 3n;

const ticket = kind('ticket', map([0, 'version', uint], [1, 'principal', id], [2, 'name', text], [3, 'operator', id], [4, 'status', byte],
  [5, 'level', byte], [6, 'key', key], [7, 'epoch', uint], [8, 'inbox', digest], [9, 'card', digest], [10, '?serves', list(text)],
  [11, 'policy', digest], [12, 'roster', uint], [13, 'index', uint], [14, 'issued', int], [15, 'expires', int]), (t) => {
  checkVersion(t.version);
  checkId(t.principal);
  must(isName(t.name) && t.level <= 5n && isPatterns(t.serves ?? []), 'malformed', "ticket's name, level or capabilities");
  checkKey(t.key);
  must(t.status >= ACTIVE && t.status <= REVOKED && !zero(t.policy), 'malformed', "ticket's status or policy");
  checkAnswerer(t);
  checkLife(t, LONGEST);
});

function checkAnswerer({ principal, operator }) {
  if (role(principal) === NODE) return must(zero(operator), 'malformed', 'a node has no operator');
  must(role(operator) === OPERATOR && (role(principal) === AGENT || same(operator, principal)), 'malformed', "ticket's operator");
  return checkId(operator);
}

export function verifyTicket(raw, authority, now) {
  const signed = parseCosigned(ticket, raw), t = signed.claim;
  must(t.roster === authority.number, 'superseded', 'ticket of another roster');
  signed.cosignedBy(authority.realm, majority(authority), authority.nodes.map(keyOf));
  checkCurrent(t.issued, t.expires, now);
  return t;
}

// checkStatus refuses a principal that may take no part.
export function checkStatus(status) {
  if (status !== ACTIVE) refuse(status === QUARANTINED ? 'quarantined' : 'revoked', 'by its status');
}
