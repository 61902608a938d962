// The types of commands that change members, the roster and the policy (command.md), and reminders of them.
import { decode } from './cbor.mjs';
import { namesOf, verifyCard } from './card.mjs';
import { bodies, command } from './command.mjs';
import { conclude, lastOperators, leaveWithoutVote, openDecisions } from './deciding.mjs';
import { checkRoots, parsePolicy } from './policy.mjs';
import { admission, enrolment, followSuccessions, joinToken, next, roster, token, verifyEnrolment } from './realm.mjs';
import { must } from './refuse.mjs';
import { ACTIVE, QUARANTINED, REVOKED, checkStatus } from './ticket.mjs';
import {
  AGENT, OPERATOR, SKEW, checkId, isCapability, isName, isPatterns, keyOf, matches, parseCosigned, parseSign1, role, same, sha256,
} from './wire.mjs';

const MAX_REASON = 256, MAX_ENROLMENT = 8192, MAX_REMINDED = 8192, MAX_FAMILY = 64, MAX_SUCCESSIONS = 32, MAX_POLICIES = 524288, MAX_EPOCH = 1n << 53n;
const REMINDING = 2n, DAY = 86400000n;
const hex = (b) => b.toString('hex');
const later = (a, b) => (a > b ? a : b);

const newMember = (id, name, operator, rest = {}) => ({
  id, name, operator, key: keyOf(id), status: ACTIVE, level: 0n, epoch: 0n, serves: [], family: '', card: 0n, successions: [], changed: 0n,
  statusAt: 0n, statusSigners: 0n, settlements: 0n, errors: 0n, before: 0n, beforeAt: 0n, beforeSigners: 0n,
  statusIssued: 0n, released: 0n, levelIssued: 0n, lifted: 0n, ...rest,
});

export const rootMembers = (roots) => new Map(roots.map((root, i) => [hex(root), newMember(root, `root-${i + 1}`, root)]));

const byOperator = (o) => must(role(o.author) === OPERATOR, 'denied', 'only an operator may');
const reasonable = (reason = '') => must(Buffer.byteLength(reason) <= MAX_REASON, 'too_large', 'reason');
const unchanged = (o, m) => must(!o.expect || o.expect === m.changed, 'conflict', 'changed meanwhile');

function free(l, name, key) {
  for (const m of l.members.values()) must(m.name !== name && !same(m.key, key), 'conflict', 'name or key of somebody');
}

function enrol(l, o, body) {
  const claimed = parseCosigned(enrolment, body.enrolment, MAX_ENROLMENT), invitation = parseSign1(token, claimed.claim.token);
  const operator = l.member(invitation.claim.operator);
  checkStatus(operator.status);
  const { agent, token: t } = verifyEnrolment(body.enrolment, l.realm, operator.key), used = hex(invitation.id(l.realm));
  must(same(agent, o.author), 'denied', 'enrolment of another');
  must(t.expires > l.now, 'expired', 'token');
  must(t.issued <= l.now + SKEW, 'not_yet', 'token');
  must(!l.tokens.has(used), 'spent', 'token');
  free(l, t.name, keyOf(agent));
  must(t.level <= l.policy.enrol, 'no_quorum', 'above what one operator gives');
  l.tokens.add(used);
  l.members.set(hex(agent), newMember(agent, t.name, t.operator, { level: t.level, serves: t.serves, changed: o.index }));
}

function addOperator(l, o, { operator, name }) {
  byOperator(o);
  l.loosen(o);
  must(role(operator) === OPERATOR && isName(name), 'malformed', 'operator or name');
  checkId(operator);
  must(!l.members.has(hex(operator)), 'conflict', 'an operator already');
  free(l, name, keyOf(operator));
  l.members.set(hex(operator), newMember(operator, name, operator, { changed: o.index }));
}

// target is the member that an operator changes.
function target(l, o, principal, reason) {
  byOperator(o);
  reasonable(reason);
  const m = l.member(principal);
  unchanged(o, m);
  return m;
}

function setStatus(l, o, { principal, status, reason }) {
  const m = target(l, o, principal, reason), signers = BigInt(o.signers.length);
  must(m.status !== REVOKED, 'revoked', 'for good');
  if (status === ACTIVE) l.loosen(o);
  else {
    must(status === QUARANTINED || status === REVOKED, 'malformed', 'status');
    must(role(m.id) !== OPERATOR || !lastOperators(l, m), 'denied', 'too few operators would remain');
  }
  if (m.status !== status) Object.assign(m, { status, statusAt: l.now, statusSigners: signers });
  m.statusSigners = later(m.statusSigners, signers);
  if (l.feature >= REMINDING) m.statusIssued = later(m.statusIssued, o.issued);
  if (l.feature >= REMINDING && status === ACTIVE) m.released = m.statusIssued;
  m.changed = o.index;
  leaveWithoutVote(l, m);
}

function setLevel(l, o, { principal, level, reason }) {
  const m = target(l, o, principal, reason);
  must(role(m.id) === AGENT, 'denied', 'only agents have levels');
  must(level <= 5n, 'malformed', 'level');
  if (level > m.level) raisable(l, o, m, level);
  if (l.feature >= REMINDING) m.levelIssued = later(m.levelIssued, o.issued);
  if (l.feature >= REMINDING && level > m.level) m.lifted = m.levelIssued;
  noteBefore(l, o, m, level);
  Object.assign(m, { level, changed: o.index });
  leaveWithoutVote(l, m);
}

function raisable(l, o, m, level) {
  l.loosen(o);
  if (level <= l.policy.enrol) return;
  const others = (all) => BigInt(all.filter((x) => !same(x.id, m.operator)).length);
  const there = others(l.activeOperators()), need = l.policy.loosen < there ? l.policy.loosen : there;
  must(others(o.signers) >= need, 'no_quorum', "its own operator's signature does not count");
}

// noteBefore notes the level that a lowering takes away, as of the first of several within a day.
function noteBefore(l, o, m, level) {
  const signers = BigInt(o.signers.length), fresh = m.before > m.level && l.now - m.beforeAt < DAY;
  if (level > m.level) Object.assign(m, { before: 0n, beforeAt: 0n, beforeSigners: 0n });
  else if (level < m.level && !fresh) Object.assign(m, { before: m.level, beforeAt: l.now, beforeSigners: signers });
  else if (fresh) m.beforeSigners = later(m.beforeSigners, signers);
}

function grant(l, o, { principal, serves = [], family }) {
  const m = target(l, o, principal, '');
  must(same(m.operator, o.author) && role(m.id) === AGENT, 'denied', "only the agent's operator grants");
  must(isPatterns(serves), 'malformed', 'patterns');
  must((family ?? '').length <= MAX_FAMILY, 'too_large', 'family');
  must(family === undefined || isCapability(family), 'malformed', 'family');
  Object.assign(m, { serves, family: family ?? m.family, changed: o.index });
}

function putCard(l, o, body) {
  const m = o.member;
  unchanged(o, m);
  const card = verifyCard(body.card, l.realm, m.id, m.key);
  must(card.sequence > m.card, 'conflict', 'a newer card is there');
  must(namesOf(card).every((name) => m.serves.some((p) => matches(p, name))), 'denied', 'not granted');
  Object.assign(m, { card: card.sequence, changed: o.index });
}

function succeed(l, o, body) {
  const m = o.member;
  unchanged(o, m);
  must(m.successions.length < MAX_SUCCESSIONS, 'too_large', 'successions');
  const chain = [...m.successions, body.succession], key = followSuccessions(l.realm, m.id, chain).at(-1);
  for (const other of l.members.values()) must(!same(other.key, key), 'conflict', 'key of somebody');
  Object.assign(m, { key, successions: chain, card: 0n, epoch: m.epoch + 1n, changed: o.index });
}

function raiseEpoch(l, o, { principal, epoch }) {
  const m = l.member(principal);
  must(same(o.author, m.id) || same(o.author, m.operator), 'denied', 'only the principal or its operator');
  unchanged(o, m);
  must(epoch <= MAX_EPOCH, 'malformed', 'epoch');
  must(epoch > m.epoch, 'conflict', 'epoch is not higher');
  Object.assign(m, { epoch, changed: o.index });
}

// --- the realm

function putRoster(l, o, body) {
  const after = next(l.authority, body.roster), { claim: r } = parseCosigned(roster, body.roster);
  must(r.issued <= l.now + SKEW, 'not_yet', 'roster');
  if (r.admission) {
    const { claim: a } = parseCosigned(admission, r.admission);
    must(parseCosigned(joinToken, a.token).claim.expires > l.now, 'expired', 'join token');
  }
  const alike = after.threshold === l.authority.threshold && after.roots.length === l.authority.roots.length &&
    after.roots.every((root, i) => same(root, l.authority.roots[i]));
  must(alike, 'version', 'other roots');
  l.authority = after;
  for (const name of [...l.clocks.keys()]) if (!after.nodes.some((n) => hex(n) === name)) l.clocks.delete(name);
  l.advance();
}

function putPolicy(l, o, body) {
  byOperator(o);
  l.loosen(o);
  const policy = parsePolicy(body.policy);
  must((policy.preset === 'solo') === (l.founded.preset === 'solo'), 'denied', 'a realm stays solo, or of several people');
  checkRoots(policy, l.authority.roots.length);
  must(BigInt(l.activeOperators().length) >= policy.loosen, 'invalid_input', 'too few active operators');
  must(!same(sha256(body.policy), sha256(l.rawPolicy)), 'conflict', 'in force already');
  const carried = l.carried + o.raw.length;
  must(carried <= MAX_POLICIES, 'too_large', 'policies');
  for (const d of openDecisions(l)) conclude(l, d, 'superseded');
  Object.assign(l, { policy, rawPolicy: body.policy, carried });
}

// --- reminders

const tightening = { status: setStatus, level: setLevel, epoch: raiseEpoch };

function remind(l, o, body) {
  const c = parseCosigned(command, body.command, MAX_REMINDED), { type } = c.claim;
  must(tightening[type], 'wrong_kind', 'no tightening');
  const says = decode(bodies[type], c.claim.body);
  must(type !== 'status' || says.status === QUARANTINED || says.status === REVOKED, 'wrong_kind', 'no tightening');
  const m = l.member(says.principal), name = `${hex(c.claim.author)} ${hex(c.claim.nonce)}`;
  if (l.answers.has(name) || !tighter(l, m, type, says, c.claim.issued)) return;
  const order = { ...l.admit(c, body.command), index: o.index, expect: 0n };
  must(order.issued <= l.now + SKEW, 'not_yet', 'reminder');
  tightening[type](l, order, says);
  if (order.expires > l.now) l.answers.set(name, { id: order.id, signed: sha256(body.command), expires: order.expires });
}

function tighter(l, m, type, says, issued) {
  if (type === 'epoch') return says.epoch > m.epoch;
  if (type === 'status') return says.status > m.status && issued > later(l.since, m.released);
  return says.level < m.level && issued > later(l.since, m.lifted);
}

export const members = {
  enrol, operator: addOperator, status: setStatus, level: setLevel, grant, card: putCard, succeed, epoch: raiseEpoch, roster: putRoster,
  policy: putPolicy, remind,
};
