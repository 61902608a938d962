// The command, its bodies, and what is checked of it without a ledger (command.md, 1 and 2).
import { bool, byte, bytes, int, list, map, raw, text, uint } from './cbor.mjs';
import { action } from './decision.mjs';
import { must } from './refuse.mjs';
import { checkId, checkVersion, digest, id, kind } from './wire.mjs';

const LONGEST = 600000n;

export const command = kind('command', map([0, 'version', uint], [1, 'nonce', bytes(16)], [2, 'author', id], [3, 'issued', int],
  [4, 'expires', int], [5, '?expect', uint], [6, 'type', text], [7, 'body', raw]), (c) => {
  checkVersion(c.version);
  must(c.issued > 0n && c.expires > c.issued && c.expires - c.issued <= LONGEST, 'malformed', "command's life");
  checkId(c.author);
});

const one = (name) => map([1, name, bytes()]);

// bodies are the grammars of the types' bodies.
export const bodies = {
  tick: map([1, 'time', int], [2, '?feature', uint]),
  enrol: one('enrolment'),
  operator: map([1, 'operator', id], [2, 'name', text]),
  status: map([1, 'principal', id], [2, 'status', byte], [3, '?reason', text]),
  level: map([1, 'principal', id], [2, 'level', byte], [3, '?reason', text]),
  grant: map([1, 'principal', id], [2, '?serves', list(text)], [3, '?family', text]),
  card: one('card'),
  succeed: one('succession'),
  epoch: map([1, 'principal', id], [2, 'epoch', uint]),
  propose: one('proposal'),
  vote: map([1, 'ballot', bytes()], [2, '?salt', bytes()]),
  commit: one('commitment'),
  cancel: map([1, 'proposal', digest], [2, '?reason', text]),
  equivocate: map([1, 'proposal', digest], [2, 'first', bytes()], [3, 'second', bytes()]),
  settle: map([1, 'proposal', digest], [2, 'right', bool], [3, '?detail', text]),
  policy: one('policy'),
  consume: map([1, 'proposal', digest], [2, 'store', bytes(16)], [3, '?action', action]),
  report: map([1, 'proposal', digest], [2, 'ok', bool], [3, '?uncertain', bool], [4, '?detail', text], [5, '?use', uint]),
  roster: one('roster'),
  remind: one('command'),
};

// features are the levels that the types need; those that are absent need none.
export const features = { roster: 1n, remind: 2n, commit: 3n, cancel: 3n, equivocate: 3n, settle: 3n, policy: 3n };

export const entry = map([1, '?ticks', list(bytes())], [2, '?command', bytes()]);
