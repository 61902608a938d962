// An agent's description of itself (card.md).
import { int, list, map, text, uint } from './cbor.mjs';
import { must } from './refuse.mjs';
import { AGENT, ascending, checkId, checkVersion, id, isCapability, kind, parseSign1, role, same } from './wire.mjs';

const MAX_CARD = 8192;

const capability = map([1, 'name', text], [2, '?description', text], [3, '?input', text], [4, '?output', text]);
const card = kind('card', map([0, 'version', uint], [1, 'agent', id], [2, 'sequence', uint], [3, '?capabilities', list(capability)],
  [4, 'issued', int]), (c) => {
  checkVersion(c.version);
  must(role(c.agent) === AGENT && c.sequence >= 1n && c.issued > 0n, 'malformed', "card's agent, sequence or time");
  const names = namesOf(c);
  must(names.length <= 64 && ascending(names) && names.every(isCapability), 'malformed', "card's capabilities");
});

export const namesOf = (card) => (card.capabilities ?? []).map((c) => c.name);

// verifyCard checks an agent's card by its current identity key.
export function verifyCard(raw, realm, agent, key) {
  const signed = parseSign1(card, raw, MAX_CARD);
  must(same(signed.claim.agent, agent), 'malformed', 'card of another agent');
  checkId(agent);
  return signed.verify(realm, key).claim;
}
