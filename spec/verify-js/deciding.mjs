// The types of commands that decide (command.md): proposals, ballots, what ends a decision, and what comes of it.
import { BYTES } from './cbor.mjs';
import {
  ABSTAIN, APPROVE, RECUSE, REJECT, ballot, checkAction, checkElectorate, commitment, commitsUntil, covers, eligible, encodeOpening, proposal,
  revealing, revealsUntil, tally, verifyBallot, verifyCommitment, verifyEquivocation, votersOf,
} from './decision.mjs';
import { classify, decidesAlone, emergencyRule, kindFor, rightsOf, urgent } from './policy.mjs';
import { must } from './refuse.mjs';
import { ACTIVE, QUARANTINED, checkStatus } from './ticket.mjs';
import { AGENT, OPERATOR, SKEW, among, parseSign1, role, same, sha256 } from './wire.mjs';

const KEPT_USES = 1024n, MAX_OPEN = 64, MAX_VOTERS = 64, MAX_DETAIL = 256, DAY = 86400000n, MOST = (1n << 64n) - 1n;
const ALL_SIGNERS = 64n; // more than any policy's loosen: a proof, not somebody's word
const hex = (b) => b.toString('hex');
const min = (a, b) => (a < b ? a : b);
const max = (a, b) => (a > b ? a : b);
const brief = (s = '') => must(Buffer.byteLength(s) <= MAX_DETAIL, 'too_large', 'reason or detail');

function decisionOf(l, id) {
  const d = l.decisions.get(hex(id));
  must(d, 'unknown', 'decision');
  return d;
}

export const openDecisions = (l) => [...l.decisions.values()].filter((d) => d.state === 'open');

// conclude sets where a decision stands from now on.
export function conclude(l, d, state) {
  const p = d.proposal;
  Object.assign(d, { state, at: l.now });
  if (state !== 'approved') return;
  d.from = max(l.now, p.notBefore ?? 0n);
  d.until = p.permit ? p.permit.until : d.from + d.opening.rule.window;
}

// --- propose

function propose(l, o, body) {
  const signed = parseSign1(proposal, body.proposal).verify(l.realm, o.member.key), p = signed.claim;
  proposable(l, o, p);
  const nonce = `${hex(p.proposer)} ${hex(p.nonce)}`;
  must(!l.nonces.has(nonce), 'spent', 'nonce of another proposal');
  const opening = openingOf(l, o, p, signed.id(l.realm)), mine = openDecisions(l).filter((d) => same(d.opening.operator, opening.operator));
  must(opening.alone || mine.length < MAX_OPEN, 'rate', 'too many open proposals');
  const d = { proposal: p, opening, ballots: [], commitments: new Map(), lost: new Set(), contradicted: new Set(), uses: [], settled: false };
  l.nonces.add(nonce);
  l.decisions.set(hex(opening.proposal), d);
  conclude(l, d, opening.alone ? 'approved' : 'open');
}

function proposable(l, o, p) {
  must(same(p.proposer, o.author), 'denied', 'proposal of another');
  must(role(o.author) !== AGENT || rightsOf(l.policy, o.member.level).propose, 'denied', 'its level does not propose');
  must(p.expires > l.now && (!p.permit || p.permit.until > l.now), 'expired', 'proposal or permit');
  must(p.issued <= l.now + SKEW, 'not_yet', 'proposal');
  checkStatus(l.member(p.executor).status);
  if (!p.emergency) return;
  must(urgent(l.policy, p.action), 'denied', 'no emergency by the policy');
  must(![...l.decisions.values()].some((d) => overdue(l, d)), 'denied', 'a review is due');
}

// overdue says whether an emergency's review is.
const overdue = (l, d) => d.opening.emergency === true && d.state === 'approved' && !d.settled && l.now >= d.at + (l.policy.emergency?.review ?? 0n);

function openingOf(l, o, p, id) {
  const { level, operator, key } = o.member, sum = sumWith(l, operator, p), c = classify(l.policy, p.action, p.class ?? 0n, sum);
  const rule = p.emergency ? emergencyRule(l.policy.emergency) : l.policy.classes[Number(c)];
  const opening = {
    proposal: id, action: sha256(p.action[BYTES]), policy: sha256(l.rawPolicy), class: c, level, operator, rule, voters: [], index: o.index,
    opened: l.now, deadline: min(l.now + rule.deadline, p.expires), key, sum, emergency: p.emergency,
  };
  opening.alone = !p.permit && !p.emergency && role(p.proposer) === AGENT && decidesAlone(l.policy, level, c);
  if (opening.alone) return encodeOpening(opening);
  opening.voters = electorate(l, opening, p);
  const written = encodeOpening(opening);
  checkElectorate(written, p.proposer);
  return written;
}

// --- the electorate

const isPerson = (m) => role(m.id) === OPERATOR;

function weightOf(l, m) {
  const operator = l.members.get(hex(m.operator));
  if (m.status !== ACTIVE || operator?.status !== ACTIVE) return 0n;
  return isPerson(m) ? 1n : rightsOf(l.policy, m.level).weight ?? 0n;
}

// silencedLevel is the level at which an agent without a vote is still counted, or undefined.
function silencedLevel(l, m) {
  const few = (at, signers) => signers < l.policy.loosen && l.now - at < DAY;
  const confined = [m, l.members.get(hex(m.operator))].filter((x) => x.status !== ACTIVE);
  if (isPerson(m) || !confined.every((x) => few(x.statusAt, x.statusSigners))) return undefined;
  const lowered = m.before > m.level && !rightsOf(l.policy, m.level).weight && few(m.beforeAt, m.beforeSigners);
  return lowered ? m.before : m.level;
}

function electorate(l, opening, p) {
  const gains = (id) => among(id, p.beneficiaries ?? []);
  const out = (m) => (!isPerson(m) && (opening.emergency || same(m.id, p.executor))) || gains(m.id) || gains(m.operator) ||
    !eligible(opening, p.proposer, m);
  const voters = [...l.members.values()].filter((m) => !out(m)).map((m) => voterOf(l, m)).filter((v) => v.weight > 0n);
  const heavier = (a, b) => (a.weight === b.weight ? Buffer.compare(a.id, b.id) : Number(b.weight - a.weight));
  voters.sort((a, b) => Number(isPerson(b)) - Number(isPerson(a)) || heavier(a, b));
  return voters.slice(0, MAX_VOTERS).sort((a, b) => Buffer.compare(a.id, b.id));
}

function voterOf(l, m) {
  const { id, key, operator, family } = m, weight = weightOf(l, m), before = weight === 0n ? silencedLevel(l, m) : undefined;
  const level = before ?? m.level, silenced = before !== undefined;
  const counted = silenced ? rightsOf(l.policy, level).weight ?? 0n : weight;
  return { id, key, operator, level, weight: counted, family, calibration: calibrationOf(m), silenced };
}

// calibrationOf is what ballot.md says of settled votes; errors are summed in millionths.
function calibrationOf(m) {
  if (isPerson(m)) return 1000n;
  if (m.settlements === 0n) return 700n;
  const k = 1000n - min(1000n, ((m.errors / m.settlements) * 4n) / 1000n);
  return (7000n + m.settlements * k) / (10n + m.settlements);
}

// --- sums

const each = (p) => max(p.action.amount ?? 0n, 1n);
const amountOf = (p) => min(each(p) * (p.permit?.uses ?? 1n), MOST);
const roams = (p) => (p.permit?.targets ?? []).length > 0;
const usedUp = (d) => d.uses.length > 0 && (!d.proposal.permit || BigInt(d.uses.length) >= d.proposal.permit.uses);

function counts(d) {
  if (d.state === 'open' || d.state === 'approved') return amountOf(d.proposal);
  return d.state === 'cancelled' ? min(BigInt(d.uses.length) * each(d.proposal), MOST) : 0n;
}

// counted says whether anything of a decision was, or can be, done after a log time.
function counted(d, after) {
  if (d.state === 'open') return true;
  if (d.uses.length > 0 && (d.state !== 'approved' || usedUp(d))) return d.uses.at(-1).at > after;
  return (d.state === 'approved' ? d.until : d.at) > after;
}

function sumWith(l, operator, p) {
  const kind = kindFor(l.policy, p.action.kind);
  if (!kind?.steps) return 0n;
  const together = (q) => kindFor(l.policy, q.action.kind) === kind && (roams(p) || roams(q) || (q.action.target ?? '') === (p.action.target ?? ''));
  const others = [...l.decisions.values()].filter((d) =>
    same(d.opening.operator, operator) && together(d.proposal) && counted(d, l.now - kind.window));
  return min(others.reduce((sum, d) => sum + counts(d), amountOf(p)), MOST);
}

// --- ballots

const pollOf = (l, d, more = {}) => ({ ballots: d.ballots, committed: new Set(d.commitments.keys()), void: d.lost, now: l.now, ...more });
const holds = (d, who) => d.ballots.some((b) => same(b.voter, who));

// votable is the open decision of a voter's statement.
function votable(l, o, { proposal: id, voter }) {
  const d = decisionOf(l, id);
  must(same(voter, o.author), 'denied', 'statement of another');
  must(d.state === 'open', 'spent', 'the decision has ended');
  must(weightOf(l, o.member) > 0n && !d.lost.has(hex(voter)), 'denied', 'no vote any more');
  return d;
}

// counting ends a decision that what came in decides.
function counting(l, d) {
  const state = tally(d.opening, pollOf(l, d));
  if (state !== 'open') conclude(l, d, state);
}

function commit(l, o, body) {
  const { claim: c } = parseSign1(commitment, body.commitment), d = votable(l, o, c), name = hex(c.voter);
  verifyCommitment(body.commitment, l.realm, d.opening);
  must(!holds(d, c.voter), 'spent', 'voted');
  must(c.sequence > (d.commitments.get(name)?.sequence ?? 0n), 'spent', 'a newer commitment is there');
  must(commitsUntil(d.opening) > l.now, 'expired', 'the time to commit is over');
  d.commitments.set(name, c);
  counting(l, d);
}

function vote(l, o, body) {
  const d = votable(l, o, parseSign1(ballot, body.ballot).claim), b = verifyBallot(body.ballot, l.realm, d.opening);
  must(!holds(d, b.voter), 'spent', 'voted');
  revealable(l, d, body, b);
  d.ballots = [...d.ballots, b];
  counting(l, d);
}

function revealable(l, d, { ballot: raw, salt }, b) {
  const hidden = (d.opening.rule.commit ?? 0n) > 0n && role(b.voter) === AGENT && (b.vote !== RECUSE || salt !== undefined);
  if (!hidden) return must(salt === undefined, 'malformed', 'salt of an open ballot');
  const c = d.commitments.get(hex(b.voter));
  const committed = c && salt?.length === 32 && c.sequence === b.sequence && same(sha256(Buffer.concat([salt, raw])), c.hidden);
  must(committed, 'denied', 'not the ballot that was committed to');
  must(revealsUntil(d.opening) > l.now, 'expired', 'the time to reveal is over');
  return must(revealing(d.opening, pollOf(l, d)), 'pending', 'others have not committed');
}

// lastOperators says whether without this one fewer remain than loosening needs.
export const lastOperators = (l, m) => BigInt(l.activeOperators().filter((other) => other !== m).length) < l.policy.loosen;

function equivocate(l, o, body) {
  const d = decisionOf(l, body.proposal), who = verifyEquivocation([body.first, body.second], l.realm, d.opening), name = hex(who);
  must(!d.contradicted.has(name), 'spent', 'shown before');
  const m = l.member(who), voter = votersOf(d.opening).find((v) => same(v.id, who)), own = same(m.key, voter.key);
  d.contradicted.add(name);
  if (own && m.status === ACTIVE && (!isPerson(m) || !lastOperators(l, m))) Object.assign(m, { status: QUARANTINED, statusAt: l.now });
  if (own && m.status === QUARANTINED) m.statusSigners = ALL_SIGNERS;
  m.changed = o.index;
  if (d.state === 'open' && !d.lost.has(name)) lose(l, d, [name]);
  leaveWithoutVote(l, m);
}

// lose takes votes in an open decision, which ends if it cannot be approved any more.
function lose(l, d, names) {
  d.lost = new Set([...d.lost, ...names]);
  if (stateNow(l, d) === 'rejected') conclude(l, d, 'rejected');
}

// leaveWithoutVote takes their votes in open decisions from a member, and its agents, that have no weight any more; a rejection
// or abstention that is in stays.
export function leaveWithoutVote(l, m) {
  const weightless = [...l.members.values()].filter((x) => (x === m || same(x.operator, m.id)) && weightOf(l, x) === 0n);
  for (const d of openDecisions(l)) {
    const doubts = (x) => d.ballots.some((b) => same(b.voter, x.id) && (b.vote === REJECT || b.vote === ABSTAIN));
    const votes = (x) => votersOf(d.opening).some((v) => same(v.id, x.id) && !v.silenced);
    const names = weightless.filter((x) => votes(x) && !doubts(x)).map((x) => hex(x.id)).filter((name) => !d.lost.has(name));
    if (names.length > 0) lose(l, d, names);
  }
}

// --- time

const stateNow = (l, d) => (d.opening.deadline <= l.now ? 'expired' : tally(d.opening, pollOf(l, d)));

// countDue counts the decisions whose time to commit or reveal, or whose deadline, log time has reached. Each that is approved
// gets a leaf, all others that end get one together.
export function countDue(l) {
  let silent = 0n;
  for (const d of openDecisions(l)) {
    const state = stateNow(l, d);
    if (state === 'open') continue;
    conclude(l, d, state);
    if (state === 'approved') l.size++;
    else silent = 1n;
  }
  l.size += silent;
}

// --- what comes of a decision

function consume(l, o, body) {
  const d = decisionOf(l, body.proposal), p = d.proposal;
  must(same(p.executor, o.author) && same(p.store, body.store), 'denied', 'for another executor or store');
  must(d.state !== 'open', 'pending', 'open');
  must(d.state === 'approved', 'rejected', d.state);
  must(!usedUp(d), 'spent', 'used up');
  must(l.now >= d.from, 'not_yet', 'before its time');
  must(l.now < d.until, 'expired', 'after its time');
  must((p.permit !== undefined) === (body.action !== undefined), 'malformed', 'the use of a permit, and nothing else, names its action');
  if (body.action) {
    checkAction(body.action);
    must(covers(p, body.action), 'denied', 'not covered');
  }
  d.uses.push({ at: l.now, reported: false });
}

function report(l, o, body) {
  const d = decisionOf(l, body.proposal), p = d.proposal;
  must(Buffer.byteLength(body.detail ?? '') <= MAX_DETAIL && !(body.ok && body.uncertain), 'malformed', "report's detail or outcome");
  must(same(p.executor, o.author) && d.uses.length > 0, 'denied', 'only who consumed it reports');
  must((p.permit !== undefined) === (body.use !== undefined), 'malformed', 'the report of a permit names its use');
  const use = d.uses[Number(body.use ?? 1n) - 1];
  must(use, 'unknown', 'use');
  must(BigInt(d.uses.length) - (body.use ?? 1n) < KEPT_USES, 'expired', 'too many uses ago');
  must(!use.reported, 'spent', 'reported');
  use.reported = true;
}

function cancel(l, o, body) {
  const d = decisionOf(l, body.proposal);
  must(same(o.author, d.proposal.proposer) || same(o.author, d.opening.operator), 'denied', 'only the proposer or its operator');
  brief(body.reason);
  must(d.state === 'open' || (d.state === 'approved' && !usedUp(d)), 'spent', 'nothing is left to take back');
  must(d.state === 'open' || l.now < d.until, 'expired', 'nobody can act any more');
  conclude(l, d, 'cancelled');
}

function settle(l, o, body) {
  const d = decisionOf(l, body.proposal);
  brief(body.detail);
  judge(l, o, d);
  must(!d.settled, 'spent', 'settled');
  const undone = d.uses.length === 0;
  must(!undone || !(d.state === 'open' || (d.state === 'approved' && l.now < d.until)), 'pending', 'nothing has come of it yet');
  must(!undone || !['cancelled', 'superseded'].includes(d.state), 'rejected', d.state);
  for (const b of d.ballots) if (!d.lost.has(hex(b.voter))) score(l.member(b.voter), b, body.right);
  d.settled = true;
}

// judge refuses who had a part in a decision, but for an overdue review by those who could change the policy.
function judge(l, o, d) {
  must(role(o.author) === OPERATOR, 'denied', 'only an operator settles');
  must(among(o.author, l.authority.roots) || same(o.author, d.opening.operator), 'denied', "neither a root nor the proposer's operator");
  if (overdue(l, d) && BigInt(o.signers.length) >= l.policy.loosen) return;
  const party = same(o.author, d.proposal.executor) || among(o.author, d.proposal.beneficiaries ?? []) ||
    d.ballots.some((b) => same(l.member(b.voter).operator, o.author));
  must(!party, 'denied', 'had a part in it');
}

// score adds the square of how far, in per mille, a ballot was from what turned out.
function score(m, b, right) {
  if (b.vote === RECUSE) return;
  const stated = { [APPROVE]: b.confidence, [REJECT]: 1000n - b.confidence }[b.vote] ?? 500n, error = right ? 1000n - stated : stated;
  m.settlements += 1n;
  m.errors += error * error;
}

export const decisions = { propose, commit, vote, equivocate, consume, report, cancel, settle };
