// The policy (policy.md): its own checks, and what it gives an action.
import { BYTES, bool, byte, decode, encodeBool, encodeInt, encodeMap, encodeUint, int, list, map, text, uint } from './cbor.mjs';
import { must } from './refuse.mjs';
import { checkLadder, checkReckoning, reckoning, rung } from './trust.mjs';
import { isPatterns, compareText, matches } from './wire.mjs';

const MAX_POLICY = 61440;
const DAY = 86400000n;

export const rule = map([1, 'approvals', uint], [2, '?people', uint], [3, '?operators', uint], [4, '?share', uint], [5, '?own', bool],
  [6, 'deadline', int], [7, 'window', int], [8, '?families', uint], [9, '?operatorCap', uint], [10, '?familyCap', uint],
  [11, '?faults', uint], [12, '?confidence', uint], [13, '?stewards', uint], [14, '?commit', int]);

// encodeRule writes a rule as it stands in an opening.
export function encodeRule(r) {
  const n = (value) => (value ? encodeUint(value) : undefined);
  return encodeMap([1, encodeUint(r.approvals)], [2, n(r.people)], [3, n(r.operators)], [4, n(r.share)], [5, r.own ? encodeBool(true) : undefined],
    [6, encodeInt(r.deadline)], [7, encodeInt(r.window)], [8, n(r.families)], [9, n(r.operatorCap)], [10, n(r.familyCap)], [11, n(r.faults)],
    [12, n(r.confidence)], [13, n(r.stewards)], [14, n(r.commit)]);
}

const rights = map([1, '?call', list(text)], [2, '?serve', list(text)], [3, '?publish', list(text)], [4, '?subscribe', list(text)],
  [5, '?rate', uint], [6, '?maxPayload', uint], [7, '?propose', bool], [8, '?weight', uint]);
const level = map([1, 'rights', rights], [2, '?alone', uint]);
const step = map([1, 'above', uint], [2, 'class', byte]);
const when = map([1, '?target', text], [2, '?param', text], [3, '?value', text], [4, '?above', uint], [5, '?not', bool], [6, 'class', byte],
  [7, '?deny', bool]);
const kindOf = map([1, 'pattern', text], [2, 'class', byte], [3, '?deny', bool], [4, '?window', int], [5, '?steps', list(step)],
  [6, '?when', list(when)]);
const lease = map([1, '?length', int], [2, '?restrict', bool]);
const emergency = map([1, 'kinds', list(text)], [2, 'people', uint], [3, 'deadline', int], [4, 'window', int], [5, 'review', int]);
const policy = map([0, 'version', uint], [1, 'preset', text], [2, 'enrol', byte], [3, 'loosen', uint], [4, 'levels', list(level)],
  [5, 'kinds', list(kindOf)], [6, 'classes', list(rule)], [7, '?plain', list(text)], [8, '?lease', lease], [9, '?emergency', emergency],
  [10, '?reckoning', reckoning], [11, '?rungs', list(rung)]);

// ruleFits says whether somebody must meet a rule, and somebody can (opening.md).
export function ruleFits(r) {
  const n = (name) => r[name] ?? 0n;
  return r.approvals >= 1n && n('people') <= r.approvals && n('operators') <= r.approvals && n('share') <= 1000n &&
    n('families') <= r.approvals - n('people') && n('stewards') <= r.approvals && n('faults') <= 21n &&
    n('operatorCap') <= 1000n && n('familyCap') <= 1000n &&
    (n('confidence') === 0n || (n('confidence') >= 500n && n('confidence') <= 1000n)) &&
    n('commit') >= 0n && n('commit') <= r.deadline / 2n &&
    r.deadline >= 1n && r.deadline <= 7n * DAY && r.window >= 1n && r.window <= DAY;
}

const invalid = (holds, why) => must(holds, 'invalid_input', why);

// parsePolicy reads a policy and makes the checks of the page in its order.
export function parsePolicy(raw) {
  must(raw.length <= MAX_POLICY, 'too_large', 'policy');
  const p = decode(policy, raw);
  checkRealm(p);
  invalid(p.levels.length === 6, '6 levels');
  p.levels.forEach((l, i) => checkLevel(l, i === 0));
  invalid(p.kinds.length <= 256, 'kinds');
  p.kinds.forEach((k, i) => checkKind(k, p.kinds[i - 1]));
  invalid(p.classes.length === 4, '4 rules');
  p.classes.forEach((r, i) => checkClass(r, p.classes[i - 1], p.preset));
  invalid(of(p.classes[3], 'people') >= 1n, 'agents alone never decide R3');
  invalid(isPatterns(p.plain ?? []), 'plain topics');
  checkLease(p.lease ?? {});
  if (p.emergency) checkEmergency(p.emergency, p.preset);
  if (p.reckoning) checkReckoning(p.reckoning);
  if (p.rungs) checkLadder(p.rungs, p.preset);
  return p;
}

const of = (rule, name) => rule[name] ?? 0n;

function checkRealm({ version, preset, enrol, loosen }) {
  invalid(version === 1n && ['solo', 'standard', 'strict'].includes(preset) && enrol <= 3n, "policy's version, preset or enrol");
  invalid(loosen <= 64n && (preset === 'solo' ? loosen === 1n : loosen >= 2n), "policy's loosen");
}

function checkLevel({ rights: r, alone = 0n }, lowest) {
  const lists = [r.call, r.serve, r.publish, r.subscribe].map((l) => l ?? []), { rate = 0n, maxPayload = 0n, weight = 0n } = r;
  const acts = r.propose || lists.some((l) => l.length > 0);
  invalid(!lowest || !(acts || rate || maxPayload || weight || alone), 'level 0 has no rights');
  invalid(lists.every(isPatterns), "level's patterns");
  invalid(rate <= 60000000n && maxPayload <= 1048576n && weight <= 1000n && alone <= 3n, "level's numbers");
  invalid(!acts || (rate >= 1n && maxPayload >= 1n), 'a level that may act has a rate and a size');
}

function checkKind(k, before) {
  const steps = k.steps ?? [], window = k.window ?? 0n;
  invalid(isPatterns([k.pattern]) && (!before || compareText(before.pattern, k.pattern) < 0), "kind's pattern");
  invalid(k.class <= 3n && ((!k.deny && k.pattern !== '*') || k.class === 3n), "kind's class");
  invalid(window >= 0n && window <= 30n * DAY && (steps.length > 0) === (window > 0n), "kind's window");
  steps.forEach((s, i) => {
    const below = steps[i - 1] ?? { class: k.class, above: 0n };
    invalid(s.class > below.class && s.class <= 3n && s.above > below.above, "kind's steps");
  });
  checkConditions(k);
}

function checkConditions(k) {
  const all = k.when ?? [];
  invalid(all.length <= 16 && (all.length === 0 || !k.deny), "kind's conditions");
  invalid(new Set(all.map((w) => w[BYTES].toString('hex'))).size === all.length, 'a condition twice');
  all.forEach((w) => checkCondition(w, k.class));
}

function checkCondition(w, below) {
  const texts = [w.target, w.param, w.value].map((s) => s ?? ''), stars = (s = '') => s.split('*').length - 1;
  invalid(w.target || w.param || w.above, 'condition on nothing');
  invalid((w.param === undefined) === (w.value === undefined), 'parameter and value together');
  invalid(texts.every((s) => Buffer.byteLength(s) <= 256 && !/[\u0000-\u001f\u007f]/.test(s)), "condition's texts");
  invalid(stars(w.target) <= 4 && stars(w.value) <= 4, "condition's stars");
  invalid(w.class <= 3n && (w.deny ? w.class === 3n : w.class > below), "condition's class");
}

// --- rules

const MAX_VOTERS = 64n;

function checkClass(r, below, preset) {
  invalid(ruleFits(r) && r.approvals <= MAX_VOTERS && (!r.own || preset === 'solo'), 'rule');
  invalid(of(r, 'confidence') === 0n || r.confidence >= 800n, "rule's confidence");
  for (const cap of ['operatorCap', 'familyCap']) invalid(!r[cap] || r[cap] * MAX_VOTERS >= of(r, 'share'), "rule's caps");
  invalid(of(r, 'faults') === 0n || r.approvals >= 2n * r.faults + 1n, "rule's faults");
  if (below) checkStronger(r, below);
}

function checkStronger(r, below) {
  for (const name of ['approvals', 'people', 'operators', 'share', 'families', 'faults', 'confidence']) {
    invalid(of(r, name) >= of(below, name), `${name} are less than in the class below`);
  }
  for (const name of ['operatorCap', 'familyCap', 'stewards']) {
    invalid(!below[name] || (r[name] && r[name] <= below[name]), `${name} binds less than in the class below`);
  }
  invalid((!r.own || below.own) && (!below.commit || r.commit), 'own or commit is weaker than in the class below');
}

// --- lease, emergency, roots

function checkLease({ length }) {
  invalid(length === undefined || (length >= 1000n && length <= 60000n && length !== 3000n), "lease's length");
}

const GUARDED = ['*', 'agent', 'audit', 'operator', 'policy', 'roster'], STOPS = ['agent.quarantine', 'agent.revoke'];

function checkEmergency(e, preset) {
  invalid(preset !== 'solo', 'emergency in a solo realm');
  invalid(e.kinds.length > 0 && isPatterns(e.kinds), "emergency's kinds");
  invalid(e.kinds.every((k) => STOPS.includes(k) || !GUARDED.includes(k.split('.')[0])), 'emergency that changes rules or members');
  invalid(e.people >= 2n && e.people <= MAX_VOTERS, "emergency's people");
  invalid([e.deadline, e.window].every((t) => t >= 1n && t <= 900000n) && e.review >= 1n && e.review <= 3n * DAY, "emergency's times");
}

// checkRoots refuses a policy that a realm of so many roots could never use.
export function checkRoots(p, roots) {
  const count = BigInt(roots), voting = (r) => (r.own ? count : count - 1n);
  invalid(p.loosen <= count && (p.preset !== 'solo' || count === 1n), 'too few roots, or too many');
  invalid(p.classes.every((r) => of(r, 'people') <= voting(r)) && (!p.emergency || p.emergency.people <= count), 'too few people');
}

// kindFor is the policy's entry with the longest pattern that matches.
export function kindFor(p, name) {
  const fixed = (k) => k.pattern.replace(/\*$/, '').length;
  return p.kinds.filter((k) => matches(k.pattern, name)).sort((a, b) => fixed(b) - fixed(a))[0];
}

export const summed = (p, action) => (kindFor(p, action.kind)?.steps ?? []).length > 0;

// like says whether a text is the pattern's, with anything in the place of each star.
export function like(pattern, s) {
  const [first, ...rest] = pattern.split('*'), last = rest.pop();
  if (last === undefined) return s === pattern;
  if (s.length < first.length + last.length || !s.startsWith(first) || !s.endsWith(last)) return false;
  let middle = s.slice(first.length, s.length - last.length);
  return rest.every((part) => {
    const at = middle.indexOf(part);
    middle = middle.slice(at + part.length);
    return at >= 0;
  });
}

function applies(w, a) {
  const values = (a.params ?? []).filter((p) => p.name === w.param).flatMap((p) => (p.values.length > 0 ? p.values : ['']));
  const holds = (!w.target || like(w.target, a.target ?? '')) && (!w.param || values.some((v) => like(w.value, v))) &&
    (!w.above || (a.amount ?? 0n) > w.above);
  return holds !== (w.not ?? false);
}

// classify returns the class that the policy gives an action, at least the proposal's.
export function classify(p, action, least, sum) {
  const k = kindFor(p, action.kind);
  must(!k?.deny, 'denied', 'the policy denies this kind of action');
  const conditions = (k?.when ?? []).filter((w) => applies(w, action));
  must(!conditions.some((w) => w.deny), 'denied', 'a condition denies this action');
  const classes = [k ? k.class : 3n, least, ...conditions.map((w) => w.class), ...(k?.steps ?? []).filter((s) => sum > s.above).map((s) => s.class)];
  return classes.reduce((a, b) => (a > b ? a : b));
}

export const urgent = (p, action) => p.emergency !== undefined && p.emergency.kinds.some((k) => matches(k, action.kind));

export const emergencyRule = ({ people, deadline, window }) => ({ approvals: people, people, operators: people, deadline, window });

export const ruleEquals = (a, b) => [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => a[name] === b[name]);

export const decidesAlone = (p, level, c) => level <= 5n && c < 3n && c < (p.levels[Number(level)].alone ?? 0n);

export const rightsOf = (p, level) => p.levels[level <= 5n ? Number(level) : 0].rights;

export const weightOf = (p, level) => rightsOf(p, level).weight ?? 0n;

// isPlain says whether messages of a topic may be read by anybody.
export const isPlain = (p, topic) => (p.plain ?? []).some((pattern) => matches(pattern, topic));
