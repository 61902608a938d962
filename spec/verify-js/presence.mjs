// What one process says of itself (presence.md).
import { bytes, int, list, map, text, uint } from './cbor.mjs';
import { must } from './refuse.mjs';
import { checkCurrent, checkLife, checkVersion, digest, id, isPatterns, kind, parseSign1, same, sha256, zero } from './wire.mjs';

const LONGEST = 15000n;
const MAX_SEALING = 2048;

const presence = kind('presence', map([0, 'version', uint], [1, 'principal', id], [2, 'credential', digest], [3, 'sealing', bytes()],
  [4, '?serves', list(text)], [5, '?topics', list(text)], [6, 'sequence', uint], [7, 'issued', int], [8, 'expires', int]), (p) => {
  checkVersion(p.version);
  must(p.sequence >= 1n && !zero(p.credential), 'malformed', "presence's sequence or credential");
  must(p.sealing.length >= 1 && p.sealing.length <= MAX_SEALING, 'malformed', "sealing key's size");
  checkLife(p, LONGEST);
  must(isPatterns(p.topics ?? []) && isPatterns(p.serves ?? []), 'malformed', "presence's topics or capabilities");
});

// verifyPresence checks a presence by its process's credential, verified and with its id.
export function verifyPresence(raw, realm, credential, now) {
  const signed = parseSign1(presence, raw), p = signed.claim;
  must(same(p.principal, credential.principal) && same(p.credential, credential.id), 'malformed', 'presence of another process');
  must(same(sha256(p.sealing), credential.sealing), 'malformed', "not the credential's sealing key");
  signed.verify(realm, credential.signing);
  checkCurrent(p.issued, p.expires, now);
  return p;
}
