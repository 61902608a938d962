// Proposals, openings, ballots, commitments and the tally (proposal.md, opening.md, ballot.md).
import {
  BYTES, bool, byte, bytes, decode, encodeArray, encodeBool, encodeBytes, encodeInt, encodeMap, encodeText, encodeUint, int, list, map, text, tuple,
  uint,
} from './cbor.mjs';
import { Refusal, must } from './refuse.mjs';
import { encodeRule, rule, ruleFits } from './policy.mjs';
import {
  AGENT, NODE, OPERATOR, ascending, checkId, checkVersion, digest, id, isCapability, key, kind, parseSign1, role, same, sha256,
} from './wire.mjs';

const WEEK = 604800000n;
const MAX_TEXT = 32768, MAX_REASON = 1024, MAX_VOTERS = 64;
const size = (s = '') => Buffer.byteLength(s);
const hex = (b) => b.toString('hex');

// --- action and proposal

const parameter = tuple(['name', text], ['values', list(text)]);
export const action = map([1, 'kind', text], [2, '?target', text], [3, '?params', list(parameter)], [4, '?amount', uint], [5, '?rollback', text]);
const permit = map([1, 'uses', uint], [2, 'until', int], [3, '?open', list(parameter)], [4, '?targets', list(text)]);

export function checkAction(a) {
  must(isCapability(a.kind), 'malformed', "action's kind");
  must(!/[\u0000-\u001f\u007f]/.test(a.target ?? ''), 'malformed', "control character in an action's target");
  must(size(a.rollback) <= MAX_REASON, 'too_large', 'rollback');
  const params = a.params ?? [];
  must(params.every((p) => p.name !== '') && ascending(params.map((p) => p.name)), 'malformed', 'parameters unnamed or not in order');
  const all = [a.kind, a.target, a.rollback, ...params.flatMap((p) => [p.name, ...p.values])];
  must(all.reduce((n, s) => n + size(s), 0) <= MAX_TEXT, 'too_large', 'action');
}

export const proposal = kind('proposal', map([0, 'version', uint], [1, 'proposer', id], [2, 'action', action], [3, 'executor', id],
  [4, 'store', bytes(16)], [5, '?class', byte], [6, '?reason', text], [7, 'issued', int], [8, 'expires', int], [9, 'nonce', bytes(16)],
  [10, '?notBefore', int], [11, '?beneficiaries', list(id)], [12, '?permit', permit], [13, '?emergency', bool]), (p) => {
  checkVersion(p.version);
  checkId(p.proposer);
  checkId(p.executor);
  checkAction(p.action);
  must(role(p.proposer) !== NODE && role(p.executor) !== NODE && (p.class ?? 0n) <= 3n && size(p.reason) <= MAX_REASON, 'malformed',
    "proposal's parties, class or reason");
  must(p.issued > 0n && p.expires > p.issued && p.expires - p.issued <= WEEK, 'malformed', "proposal's life");
  const notBefore = p.notBefore ?? 0n;
  must(notBefore >= 0n && notBefore <= p.issued + WEEK, 'malformed', "proposal's not-before");
  const gainers = p.beneficiaries ?? [];
  must(gainers.length <= 16, 'too_large', 'beneficiaries');
  gainers.forEach((one, i) => {
    checkId(one);
    must(i === 0 || Buffer.compare(gainers[i - 1], one) < 0, 'malformed', 'beneficiaries not in order');
  });
  if (p.permit) checkPermit(p, p.permit);
});

const patterns = (all = []) => all.every((s) => s !== '') && ascending(all);

function checkPermit(p, t) {
  must(t.uses >= 1n && t.uses <= 1000000n, 'malformed', "permit's uses");
  must(t.until > p.issued && t.until > (p.notBefore ?? 0n) && t.until <= p.issued + WEEK, 'malformed', "permit's end");
  must(!p.emergency, 'malformed', 'an emergency is no permit');
  must(patterns(t.targets), 'malformed', "permit's targets");
  const open = t.open ?? [];
  must(ascending(open.map((o) => o.name)) && open.every((o) => o.name !== '' && o.values.length > 0 && patterns(o.values)), 'malformed',
    "permit's parameters");
  must(!open.some((o) => valuesOf(p.action, o.name)), 'malformed', 'a parameter is both fixed and open');
  must(t[BYTES].length <= MAX_TEXT, 'too_large', 'permit');
}

const valuesOf = (a, name) => (a.params ?? []).find((p) => p.name === name)?.values;

const fits = (all = [], s) => all.some((p) => (p.endsWith('*') ? s.startsWith(p.slice(0, -1)) : p === s));

// covers says whether the proposal, once approved, allows exactly this action.
export function covers(p, a) {
  const own = p.action, t = p.permit;
  try {
    checkAction(a);
  } catch (e) {
    if (e instanceof Refusal) return false;
    throw e;
  }
  if (!t) return same(a[BYTES], own[BYTES]);
  const equal = (x, y) => x.length === y.length && x.every((v, i) => v === y[i]);
  return a.kind === own.kind && a.rollback === own.rollback && (a.amount ?? 0n) <= (own.amount ?? 0n) &&
    ((a.target ?? '') === (own.target ?? '') || fits(t.targets, a.target ?? '')) &&
    (own.params ?? []).every((q) => equal(valuesOf(a, q.name) ?? [null], q.values)) &&
    (a.params ?? []).every((q) => valuesOf(own, q.name) ||
      (t.open ?? []).some((o) => o.name === q.name && q.values.every((v) => fits(o.values, v))));
}

// --- opening

const voter = tuple(['id', id], ['key', key], ['operator', id], ['level', uint], ['weight', uint], ['family', text], ['calibration', uint],
  ['silenced', bool]);
export const opening = map([1, 'proposal', digest], [2, 'action', digest], [3, 'policy', digest], [4, 'class', byte], [5, 'level', uint],
  [6, 'operator', id], [7, '?alone', bool], [8, 'rule', rule], [9, '?voters', list(voter)], [10, 'index', uint], [11, 'opened', int],
  [12, 'deadline', int], [13, 'key', key], [14, '?sum', uint], [15, '?emergency', bool]);

// encodeOpening writes an opening as the registry does, and returns it with its bytes.
export function encodeOpening(o) {
  const flag = (b) => (b ? encodeBool(true) : undefined), amount = (n) => (n ? encodeUint(n) : undefined);
  const voters = o.voters.map((v) => encodeArray(encodeBytes(v.id), encodeBytes(v.key), encodeBytes(v.operator), encodeUint(v.level),
    encodeUint(v.weight), encodeText(v.family), encodeUint(v.calibration), encodeBool(v.silenced)));
  const encoded = encodeMap([1, encodeBytes(o.proposal)], [2, encodeBytes(o.action)], [3, encodeBytes(o.policy)], [4, encodeUint(o.class)],
    [5, encodeUint(o.level)], [6, encodeBytes(o.operator)], [7, flag(o.alone)], [8, encodeRule(o.rule)],
    [9, voters.length > 0 ? encodeArray(...voters) : undefined], [10, encodeUint(o.index)], [11, encodeInt(o.opened)], [12, encodeInt(o.deadline)],
    [13, encodeBytes(o.key)], [14, amount(o.sum)], [15, flag(o.emergency)]);
  return decode(opening, encoded);
}

export const isPerson = (v) => role(v.id) === OPERATOR;
export const votersOf = (o) => o.voters ?? [];
const digestOf = (o) => sha256(o[BYTES]);

function properVoter(v) {
  if (v.weight < 1n || v.weight > 1000n || v.calibration > 1000n || role(v.operator) !== OPERATOR) return false;
  if (isPerson(v)) return same(v.operator, v.id) && v.calibration === 1000n && v.family === '' && v.level === 0n && !v.silenced;
  return role(v.id) === AGENT && v.level <= 5n;
}

function checkVoters(o) {
  const all = votersOf(o);
  must(all.length <= MAX_VOTERS, 'too_large', 'electorate');
  all.forEach((v, i) => {
    must(i === 0 || Buffer.compare(all[i - 1].id, v.id) < 0, 'malformed', 'voters not in order');
    must(properVoter(v) && (!o.emergency || isPerson(v)), 'malformed', 'voter');
  });
}

export const eligible = (o, proposer, v) => (same(v.operator, o.operator) ? o.rule.own === true && isPerson(v) : !same(v.id, proposer));

export function checkElectorate(o, proposer) {
  checkVoters(o);
  must(votersOf(o).every((v) => eligible(o, proposer, v)), 'malformed', 'who may not vote on this proposal');
  const sure = new Map(votersOf(o).filter((v) => !v.silenced).map((v) => [hex(v.id), { vote: APPROVE, chance: 1000n }]));
  const confident = votersOf(o).some((v) => !v.silenced && chance(APPROVE, 1000n, v.calibration) >= (o.rule.confidence ?? 0n));
  must(ruleFits(o.rule) && met(o, sure) && confident, 'no_quorum', 'this electorate cannot meet the rule');
}

// --- ballot, commitment, equivocation

export const APPROVE = 1n, REJECT = 2n, ABSTAIN = 3n, RECUSE = 4n;

export const ballot = kind('ballot', map([0, 'version', uint], [1, 'proposal', digest], [2, 'action', digest], [3, 'opening', digest], [4, 'voter', id],
  [5, 'vote', byte], [6, 'confidence', uint], [7, '?reason', text], [8, 'issued', int], [9, 'sequence', uint]), (b) => {
  checkVersion(b.version);
  must(b.vote >= APPROVE && b.vote <= RECUSE && b.sequence >= 1n && b.confidence >= 500n && b.confidence <= 1000n &&
    size(b.reason) <= MAX_REASON && b.issued > 0n && role(b.voter) !== NODE, 'malformed', "ballot's fields");
  checkId(b.voter);
});

export const commitment = kind('commitment', map([0, 'version', uint], [1, 'proposal', digest], [2, 'opening', digest], [3, 'voter', id],
  [4, 'sequence', uint], [5, 'hidden', digest], [6, 'issued', int]), (c) => {
  checkVersion(c.version);
  must(c.sequence >= 1n && c.issued > 0n && role(c.voter) === AGENT, 'malformed', "commitment's fields");
  checkId(c.voter);
});

function voterOf(o, who) {
  const v = votersOf(o).find((one) => same(one.id, who));
  must(v && !v.silenced, 'denied', 'not of this electorate');
  return v;
}

export function verifyBallot(raw, realm, o) {
  const c = parseSign1(ballot, raw), b = c.claim;
  must(same(b.proposal, o.proposal) && same(b.action, o.action) && same(b.opening, digestOf(o)), 'misaddressed', 'ballot for another decision');
  c.verify(realm, voterOf(o, b.voter).key);
  return { ...b, id: c.id(realm) };
}

export function verifyCommitment(raw, realm, o) {
  const c = parseSign1(commitment, raw), b = c.claim;
  must(same(b.proposal, o.proposal) && same(b.opening, digestOf(o)), 'misaddressed', 'commitment for another decision');
  const v = voterOf(o, b.voter);
  must((o.rule.commit ?? 0n) > 0n, 'malformed', "this decision's ballots are open");
  c.verify(realm, v.key);
  return { ...b, id: b.hidden };
}

// verifyEquivocation returns the voter who contradicts itself.
export function verifyEquivocation([first, second], realm, o) {
  const read = (verify) => {
    try {
      return [verify(first, realm, o), verify(second, realm, o)];
    } catch (e) {
      if (e instanceof Refusal) return undefined;
      throw e;
    }
  };
  const pair = read(verifyBallot) ?? read(verifyCommitment);
  must(pair, 'invalid_input', 'not two ballots nor two commitments of this decision');
  const [a, b] = pair;
  must(same(a.voter, b.voter) && a.sequence === b.sequence && !same(a.id, b.id), 'invalid_input', 'no contradiction');
  return a.voter;
}

// --- tally

// chance is what a vote says for the action, in per mille.
function chance(vote, confidence, calibration) {
  const above = ((confidence - 500n) * calibration) / 1000n;
  if (vote === APPROVE) return 500n + above;
  return vote === REJECT ? 500n - above : 500n;
}

// A poll is what has come in on a decision: ballots; committed and void, names of voters; and the log time that it is counted
// at. Without a time it is the one after which nothing is revealed any more.
const polled = (o, { ballots, committed = new Set(), void: lost = new Set(), now }) => {
  const said = new Map(), present = new Set();
  for (const b of ballots) {
    const name = hex(b.voter), { calibration } = voterOf(o, b.voter);
    must(!present.has(name), 'spent', 'this voter has voted');
    present.add(name);
    if (b.vote !== RECUSE && !lost.has(name)) said.set(name, { vote: b.vote, chance: chance(b.vote, b.confidence, calibration) });
  }
  const at = now ?? revealsUntil(o);
  const able = (v) => !v.silenced && !lost.has(hex(v.id));
  const waits = (v) => able(v) && !present.has(hex(v.id));
  const outstanding = (v) => waits(v) && !isPerson(v) && committed.has(hex(v.id)) && at < revealsUntil(o);
  const expected = (v) => waits(v) && (isPerson(v) || commitOf(o) === 0n || outstanding(v) || at < commitsUntil(o));
  return { said, at, waits, outstanding, expected, committed };
};

const commitOf = (o) => o.rule.commit ?? 0n;
export const commitsUntil = (o) => o.opened + commitOf(o);
export const revealsUntil = (o) => o.opened + 2n * commitOf(o);

// supposing is what has been said, and what those who are chosen would say for sure.
function supposing(o, said, chosen, vote) {
  const sure = votersOf(o).filter(chosen).map((v) => [hex(v.id), { vote, chance: chance(vote, 1000n, 1000n) }]);
  return new Map([...said, ...sure]);
}

// tally counts a poll: "approved", "rejected" or "open".
export function tally(o, poll) {
  checkVoters(o);
  const p = polled(o, poll), worst = supposing(o, p.said, p.outstanding, REJECT);
  if (!ruleFits(o.rule) || vetoed(o, p.said)) return 'rejected';
  if (met(o, worst) && !vetoed(o, worst)) return 'approved';
  return met(o, supposing(o, p.said, p.expected, APPROVE)) ? 'open' : 'rejected';
}

// revealing says whether ballots may be revealed: all agents have committed who can, or enough, or the time to is over.
export function revealing(o, poll) {
  const p = polled(o, poll);
  const missing = votersOf(o).some((v) => !isPerson(v) && p.waits(v) && !p.committed.has(hex(v.id)));
  return p.at >= commitsUntil(o) || !missing || met(o, supposing(o, p.said, p.outstanding, APPROVE));
}

function vetoed(o, said) {
  const against = votersOf(o).filter((v) => said.get(hex(v.id))?.vote === REJECT);
  const stewards = new Set(against.filter((v) => v.level === 5n).map((v) => hex(v.operator)));
  const need = o.rule.stewards ?? 0n;
  return against.some(isPerson) || (need > 0n && BigInt(stewards.size) >= need);
}

const sum = (all) => all.reduce((a, b) => a + b, 0n);
const least = (a, b) => (a < b ? a : b);

function met(o, said) {
  const r = o.rule, all = votersOf(o), n = BigInt(all.length), total = sum(all.map((v) => v.weight));
  const approving = all.filter((v) => said.get(hex(v.id))?.vote === APPROVE), approvals = BigInt(approving.length);
  const people = approving.filter(isPerson), agents = approving.filter((v) => !isPerson(v));
  const operators = weights(approving, (v) => hex(v.operator)), families = weights(agents, (v) => v.family);
  const { faults = 0n, share = 0n, confidence = 0n } = r;
  if (faults > 0n && (n < 3n * faults + 1n || approvals < (n + faults) / 2n + 1n)) return false;
  if (approvals < r.approvals || BigInt(people.length) < (r.people ?? 0n)) return false;
  if (BigInt(operators.length) < (r.operators ?? 0n) || BigInt(families.length) < (r.families ?? 0n)) return false;
  const capped = (cap) => (weight) => (cap ? least(1000n * weight, cap * total) : 1000n * weight);
  const byOperator = sum(operators.map(capped(r.operatorCap)));
  const byFamily = sum(families.map(capped(r.familyCap))) + sum(people.map((v) => 1000n * v.weight));
  if (share * total > least(byOperator, byFamily)) return false;
  return confidence === 0n || consensusConfidence(o, said, total) >= confidence;
}

function weights(voters, of) {
  const out = new Map();
  for (const v of voters) out.set(of(v), (out.get(of(v)) ?? 0n) + v.weight);
  return [...out.values()];
}

function consensusConfidence(o, said, total) {
  const voted = votersOf(o).filter((v) => said.has(hex(v.id)));
  const shared = (total * (o.rule.share ?? 0n) + 999n) / 1000n;
  const required = shared > o.rule.approvals ? shared : o.rule.approvals;
  const weight = sum(voted.map((v) => v.weight)), says = sum(voted.map((v) => v.weight * said.get(hex(v.id)).chance));
  return weight < required ? (says + 500n * (required - weight)) / required : says / weight;
}
