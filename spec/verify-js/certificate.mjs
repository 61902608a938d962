// The whole check of a certificate, of its use and of its consumption (certificate.md). Steps stand in the page's order.
import { gunzipSync, inflateRawSync } from 'node:zlib';
import { BYTES, bytes, byte, decode, int, list, map, raw, uint } from './cbor.mjs';
import { bodies, command as commandOf } from './command.mjs';
import { action, checkElectorate, covers, isPerson, opening, proposal, tally, verifyBallot, votersOf } from './decision.mjs';
import { classify, decidesAlone, emergencyRule, parsePolicy, ruleEquals, summed, urgent, weightOf } from './policy.mjs';
import { checkInclusion, enrolment, followChain, followSuccessions, inclusion, receipt, succession, verifyEnrolment, verifyHead } from './realm.mjs';
import { Refusal, must } from './refuse.mjs';
import {
  AGENT, OPERATOR, SKEW, among, checkCurrent, checkVersion, digest, id, isCapability, parseCosigned, parseSign1,
  role, same, sha256,
} from './wire.mjs';

const MAX_CERTIFICATE = 1048576;
const hex = (b) => b.toString('hex');
const min = (a, b) => (a < b ? a : b);
const max = (a, b) => (a > b ? a : b);

const verdict = map([1, 'proposal', digest], [2, 'state', byte], [3, 'at', int], [4, '?until', int], [5, '?from', int]);
const some = list(bytes());
const certificate = map([0, 'version', uint], [1, 'realm', digest], [2, 'genesis', bytes()], [3, '?rosters', some], [4, 'policy', bytes()],
  [5, 'proposal', bytes()], [6, 'opening', opening], [7, 'opened', inclusion], [8, '?ballots', some], [9, 'verdict', verdict],
  [10, 'decided', inclusion], [11, 'head', bytes()], [12, '?enrolments', some], [13, '?operators', some], [14, '?keys', some],
  [15, '?levels', some], [16, '?policies', some], [17, '?before', bytes()]);
const consumption = map([1, 'proposal', digest], [2, 'executor', id], [3, 'store', bytes(16)], [4, 'use', uint], [5, 'at', int],
  [6, 'action', digest]);

const steps = {
  'format': format, 'realm and rosters': chain, 'policy': policies, 'head': heads, 'opening recorded': recorded, 'proposal': proposed,
  'class': classes, 'rule': rules, 'electorate': electorate, 'parties vouched for': parties, 'ballots': ballots, 'verdict recorded': verdicts,
};

// verifyCertificate returns what was proved; report, if given, hears each step's name when it has passed.
export function verifyCertificate(input, realm, leastRoster = 0n, report = () => {}) {
  const e = { input, realm, leastRoster };
  for (const [name, step] of Object.entries(steps)) {
    try {
      step(e);
    } catch (error) {
      if (error instanceof Refusal) report(name, false);
      throw error;
    }
    report(name, true);
  }
  return e;
}

function format(e) {
  e.c = decode(certificate, unpack(e.input));
  checkVersion(e.c.version);
  must(same(e.c.realm, e.realm), 'wrong_realm', 'certificate of another realm');
  for (const name of ['rosters', 'ballots', 'enrolments', 'operators', 'keys', 'levels', 'policies']) e.c[name] ??= [];
}

// unpack returns the encoding from a certificate's file: the file itself, or what its one gzip member holds.
function unpack(file) {
  must(file.length <= MAX_CERTIFICATE, 'too_large', 'certificate');
  if (file[0] !== 0x1f || file[1] !== 0x8b) return file;
  must(file[2] === 8 && file[3] === 0, 'malformed', 'head of the gzip member');
  const bounded = { info: true, maxOutputLength: MAX_CERTIFICATE };
  try {
    const used = inflateRawSync(file.subarray(10), bounded).engine.bytesWritten; // gunzipSync reads more members, and does not say
    must(10 + used + 8 === file.length, 'malformed', 'not one gzip member and nothing else');
    return gunzipSync(file, bounded).buffer;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(error.code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'malformed', `gzip: ${error.message}`);
  }
}

function chain(e) {
  e.authority = followChain(e.realm, e.c.genesis, e.c.rosters, e.leastRoster);
}

// --- 3, policy

function policies(e) {
  const { c, authority } = e;
  must(c.policies.length > 0 || !c.before, 'denied', 'a policy before it, and none that replaced that');
  const first = c.policies.length > 0 ? c.before ?? Buffer.alloc(0) : c.policy;
  must(same(sha256(first), authority.policy), 'denied', 'not the policy that the genesis names');
  let inForce = first;
  e.policy = admitted(first, authority);
  Object.assign(e, { loosen: e.policy.loosen, enrol: e.policy.enrol });
  for (const raw of c.policies) {
    const w = witnesses(e);
    appoint(e, w);
    const { body, signers } = command(e, raw, ['policy'], putPolicy);
    must(operatorsAmong(w, signers) >= e.policy.loosen, 'no_quorum', 'too few operators replaced the policy');
    inForce = body.policy;
    e.policy = admitted(inForce, authority);
    Object.assign(e, { loosen: min(e.loosen, e.policy.loosen), enrol: max(e.enrol, e.policy.enrol) });
  }
  must(same(sha256(inForce), sha256(c.policy)), 'denied', 'not the policy in force');
}

function admitted(raw, authority) {
  const p = parsePolicy(raw);
  must(p.preset !== 'solo' || authority.solo, 'denied', 'a solo policy in a realm that is not');
  return p;
}

// --- 4 to 6, what is recorded

function heads(e) {
  e.head = verifyHead(e.c.head, e.authority);
}

const shows = (e, { leaf, path }, result) => checkInclusion(e.head, { leaf, path }, leaf[BYTES], result);

function recorded(e) {
  shows(e, e.c.opened, e.c.opening[BYTES]);
}

function proposed(e) {
  const o = e.c.opening, signed = parseSign1(proposal, e.c.proposal).verify(e.realm, o.key);
  e.proposal = signed.claim;
  e.proposalId = signed.id(e.realm);
  must(same(o.proposal, e.proposalId) && same(o.action, sha256(e.proposal.action[BYTES])) && same(o.policy, sha256(e.c.policy)),
    'misaddressed', 'the opening is of another proposal, action or policy');
}

// --- 7, class and rule

function classes(e) {
  const { policy: p, proposal: { action: a, class: least = 0n, permit } } = e, o = e.c.opening, sum = o.sum ?? 0n;
  const c = classify(p, a, least, sum);
  const amount = min(max(a.amount ?? 0n, 1n) * (permit?.uses ?? 1n), (1n << 64n) - 1n);
  must(summed(p, a) ? sum >= amount : sum === 0n, 'denied', 'sum');
  must(c === o.class, 'denied', 'class');
}

function rules({ policy: p, proposal: { action: a, emergency = false, expires }, c: { opening: o } }) {
  must((o.emergency ?? false) === emergency, 'denied', 'emergency');
  must(!emergency || urgent(p, a), 'denied', 'no emergency by the policy');
  const rule = { ...(emergency ? emergencyRule(p.emergency) : p.classes[Number(o.class)]) };
  must(ruleEquals(o.rule, rule), 'denied', 'rule');
  must(o.opened > 0n && o.deadline > o.opened && o.deadline === min(o.opened + o.rule.deadline, expires), 'denied', 'deadline');
}

// --- 8, electorate

function electorate({ policy: p, proposal: q, c: { opening: o } }) {
  if (o.alone) {
    must(role(q.proposer) === AGENT && decidesAlone(p, o.level, o.class) && votersOf(o).length === 0 && !q.permit && !q.emergency, 'denied',
      'the level does not decide alone');
    return;
  }
  for (const v of votersOf(o)) {
    must(v.weight === (isPerson(v) ? 1n : weightOf(p, v.level)), 'denied', 'weight of a voter');
    must(isPerson(v) || !same(v.id, q.executor), 'denied', 'an agent that executes votes');
    must(!among(v.id, q.beneficiaries ?? []) && !among(v.operator, q.beneficiaries ?? []), 'denied', 'a beneficiary votes');
    must(v.family === '' || (isCapability(v.family) && v.family.length <= 64), 'malformed', "a voter's family");
  }
  checkElectorate(o, q.proposer);
}

// --- 9, parties

const { operator: addOperator, level: setLevel, policy: putPolicy } = bodies;

function command(e, raw, types, body) {
  const c = parseCosigned(commandOf, raw);
  must(types.includes(c.claim.type), 'wrong_kind', `no command of type ${types.join(' or ')}`);
  const decoded = decode(body, c.claim.body);
  c.cosignedBy(e.realm, 1, c.signers);
  return { body: decoded, signers: c.signers };
}

// witnesses reads, once, what the certificate brings along about its parties.
function witnesses(e) {
  if (e.witnesses) return e.witnesses;
  const w = { realm: e.realm, chains: new Map(), enrolments: new Map(), known: new Map(), operators: new Map() };
  for (const raw of e.c.keys) {
    const name = hex(parseCosigned(succession, raw).claim.principal);
    w.chains.set(name, [...(w.chains.get(name) ?? []), raw]);
  }
  for (const raw of e.c.enrolments) w.enrolments.set(hex(parseCosigned(enrolment, raw).claim.agent), raw);
  for (const root of e.authority.roots) w.operators.set(hex(root), keysOf(w, root));
  w.appointments = e.c.operators.map((raw) => command(e, raw, ['operator'], addOperator));
  return (e.witnesses = w);
}

function keysOf(w, who) {
  const name = hex(who);
  if (!w.known.has(name)) w.known.set(name, followSuccessions(w.realm, who, w.chains.get(name) ?? []));
  return w.known.get(name);
}

const operatorsAmong = (w, signers) => BigInt([...w.operators.values()].filter((keys) => keys.some((k) => among(k, signers))).length);

// appoint accepts commands that made operators, in any order, until no more can be accepted.
function appoint(e, w) {
  for (let before = -1; before !== w.appointments.length;) {
    before = w.appointments.length;
    w.appointments = w.appointments.filter(({ body, signers }) => {
      if (operatorsAmong(w, signers) < e.loosen) return true;
      w.operators.set(hex(body.operator), keysOf(w, body.operator));
      return false;
    });
  }
}

function parties(e) {
  const w = witnesses(e), o = e.c.opening;
  appoint(e, w);
  must(w.appointments.length === 0, 'unknown', 'a command that made an operator lacks signatures');
  w.raised = new Map();
  for (const raw of e.c.levels) {
    const { body, signers } = command(e, raw, ['level', 'promote'], setLevel), name = hex(body.principal);
    must(operatorsAmong(w, signers) >= e.loosen, 'unknown', 'a command that raised an agent lacks signatures');
    w.raised.set(name, max(w.raised.get(name) ?? 0n, body.level));
  }
  vouch(e, w, { id: e.proposal.proposer, operator: o.operator, key: o.key, level: o.alone ? o.level : 0n });
  for (const v of votersOf(o)) vouch(e, w, v);
}

function vouch(e, w, { id: who, operator, key, level }) {
  must(among(key, keysOf(w, who)) && w.operators.has(hex(operator)), 'unknown', 'nobody vouches for a key');
  if (role(who) === OPERATOR) {
    must(same(who, operator), 'unknown', 'a person under another operator');
    return;
  }
  const given = min(invited(w, who, operator), e.enrol), raised = w.raised.get(hex(who)) ?? 0n;
  must(level <= max(given, raised), 'unknown', 'nobody gave this level');
}

// invited returns the level that the agent's token gave.
function invited(w, agent, operator) {
  for (const key of keysOf(w, operator)) {
    try {
      const found = verifyEnrolment(w.enrolments.get(hex(agent)) ?? Buffer.alloc(0), w.realm, key);
      if (same(found.agent, agent) && same(found.operator, operator)) return found.level;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }
  throw new Refusal('unknown', 'no enrolment');
}

// --- 10 and 11, ballots and verdict

function ballots(e) {
  const o = e.c.opening;
  if (o.alone) {
    must(e.c.ballots.length === 0, 'misaddressed', 'ballots on what was decided alone');
    return;
  }
  const state = tally(o, { ballots: e.c.ballots.map((raw) => verifyBallot(raw, e.realm, o)) });
  must(state === 'approved', 'no_quorum', `the ballots leave it ${state}`);
}

const APPROVED = 2n;

function verdicts(e) {
  const { opening: o, verdict: v } = e.c, { permit, notBefore = 0n } = e.proposal;
  const from = max(v.at, notBefore), until = permit ? permit.until : from + o.rule.window;
  must(same(v.proposal, o.proposal) && v.state === APPROVED && (v.from ?? 0n) === from && (v.until ?? 0n) === until, 'misaddressed', 'verdict');
  if (o.alone) {
    must(v.at === o.opened, 'misaddressed', 'verdict on what was decided alone');
    shows(e, e.c.decided, o[BYTES]);
    return;
  }
  must(v.at >= o.opened && v.at < o.deadline, 'expired', 'verdict out of time');
  shows(e, e.c.decided, v[BYTES]);
}

// --- use and consumption

// allows refuses every use of a verified certificate but what it is for.
export function allows(e, rawAction, executor, store, now) {
  const { proposal: p, c: { verdict: v } } = e;
  must(covers(p, decode(action, rawAction)), 'misaddressed', 'another action');
  must(same(p.executor, executor) && same(p.store, store), 'misaddressed', 'another executor or store');
  must(now >= v.from - SKEW, 'not_yet', `not before ${v.from}`);
  checkCurrent(v.from, v.until, now);
}

// verifyConsumption checks the registry's answer that somebody may act now; rawAction undefined is the proposal's own.
export function verifyConsumption(e, input, rawReceipt, rawAction) {
  const c = decode(consumption, input), p = e.proposal, v = e.c.verdict;
  const a = rawAction ? decode(action, rawAction) : p.action;
  must(same(c.proposal, e.proposalId) && same(c.executor, p.executor) && same(c.store, p.store), 'misaddressed', 'consumption of another');
  must(c.use >= 1n && c.use <= (p.permit?.uses ?? 1n), 'misaddressed', 'use');
  must(covers(p, a) && same(c.action, sha256(a[BYTES])), 'misaddressed', 'another action');
  must(c.at >= v.from && c.at < v.until, 'expired', 'consumed out of time');
  const shown = decode(receipt, rawReceipt), head = verifyHead(shown.head, e.authority);
  checkInclusion(head, shown.inclusion, shown.inclusion.leaf[BYTES], c[BYTES]);
  must(head.size >= e.head.size, 'superseded', "head older than the certificate's");
}
