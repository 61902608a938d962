// The policy: its grammar stands in conclave.cddl, and what it gives an action on the pages of proposals and openings. Of
// its own checks these are made that its use here rests on; a realm's nodes make more before they accept one.
import { bool, byte, decode, int, list, map, text, uint } from './cbor.mjs';
import { must } from './refuse.mjs';
import { isPatterns, compareText, matches } from './wire.mjs';

const MAX_POLICY = 61440;
const DAY = 86400000n;

export const rule = map([1, 'approvals', uint], [2, '?people', uint], [3, '?operators', uint], [4, '?share', uint], [5, '?own', bool],
  [6, 'deadline', int], [7, 'window', int], [8, '?families', uint], [9, '?operatorCap', uint], [10, '?familyCap', uint],
  [11, '?faults', uint], [12, '?confidence', uint], [13, '?stewards', uint], [14, '?commit', int]);

const rights = map([1, '?call', list(text)], [2, '?serve', list(text)], [3, '?publish', list(text)], [4, '?subscribe', list(text)],
  [5, '?rate', uint], [6, '?maxPayload', uint], [7, '?propose', bool], [8, '?weight', uint]);
const level = map([1, 'rights', rights], [2, '?alone', uint]);
const step = map([1, 'above', uint], [2, 'class', byte]);
const kindOf = map([1, 'pattern', text], [2, 'class', byte], [3, '?deny', bool], [4, '?window', int], [5, '?steps', list(step)]);
const lease = map([1, '?length', int], [2, '?restrict', bool]);
const emergency = map([1, 'kinds', list(text)], [2, 'people', uint], [3, 'deadline', int], [4, 'window', int], [5, 'review', int]);
const policy = map([0, 'version', uint], [1, 'preset', text], [2, 'enrol', byte], [3, 'loosen', uint], [4, 'levels', list(level)],
  [5, 'kinds', list(kindOf)], [6, 'classes', list(rule)], [7, '?plain', list(text)], [8, '?lease', lease], [9, '?emergency', emergency]);

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

export function parsePolicy(raw) {
  must(raw.length <= MAX_POLICY, 'too_large', 'policy');
  const p = decode(policy, raw);
  const invalid = (holds, why) => must(holds, 'invalid_input', why);
  invalid(p.version === 1n && ['solo', 'standard', 'strict'].includes(p.preset) && p.enrol <= 3n, "policy's version, preset or enrol");
  invalid(p.loosen <= 64n && (p.preset === 'solo' ? p.loosen === 1n : p.loosen >= 2n), "policy's loosen");
  invalid(p.levels.length === 6 && p.levels.every(levelFits), "policy's levels");
  invalid(Object.keys(p.levels[0].rights).length === 0 && !p.levels[0].alone, 'level 0 has no rights');
  invalid(p.kinds.length <= 256 && p.kinds.every((k, i) => kindFits(k, p.kinds[i - 1])), "policy's kinds");
  invalid(p.classes.length === 4 && p.classes.every((r) => ruleFits(r) && (!r.own || p.preset === 'solo')), "policy's rules");
  invalid((p.classes[3].people ?? 0n) >= 1n, 'agents alone never decide R3');
  invalid(isPatterns(p.plain ?? []) && (!p.emergency || emergencyFits(p)), "policy's topics or emergency");
  return p;
}

const levelFits = ({ rights: r, alone = 0n }) =>
  alone <= 3n && (r.weight ?? 0n) <= 1000n && [r.call, r.serve, r.publish, r.subscribe].every((l) => isPatterns(l ?? []));

function kindFits(k, before) {
  const steps = k.steps ?? [];
  return isPatterns([k.pattern]) && (!before || compareText(before.pattern, k.pattern) < 0) && k.class <= 3n &&
    ((!k.deny && k.pattern !== '*') || k.class === 3n) && steps.length <= 3 && (k.window ?? 0n) >= 0n && (k.window ?? 0n) <= 30n * DAY &&
    (steps.length > 0) === (k.window !== undefined) && !(k.deny && steps.length > 0) &&
    steps.every((s, i) => s.class <= 3n && s.class > (i ? steps[i - 1].class : k.class) && s.above > (i ? steps[i - 1].above : 0n));
}

function emergencyFits({ preset, emergency: e }) {
  return preset !== 'solo' && e.kinds.length > 0 && isPatterns(e.kinds) && e.people >= 2n && e.people <= 64n &&
    [e.deadline, e.window].every((t) => t >= 1n && t <= 900000n) && e.review >= 1n && e.review <= 3n * DAY;
}

// kindFor is the policy's entry with the longest pattern that matches.
function kindFor(p, name) {
  const fixed = (k) => k.pattern.replace(/\*$/, '').length;
  return p.kinds.filter((k) => matches(k.pattern, name)).sort((a, b) => fixed(b) - fixed(a))[0];
}

export const summed = (p, action) => (kindFor(p, action.kind)?.steps ?? []).length > 0;

// classify returns the class that the policy gives an action, at least the proposal's.
export function classify(p, action, least, sum) {
  const k = kindFor(p, action.kind);
  must(!k?.deny, 'denied', 'the policy denies this kind of action');
  const classes = [k ? k.class : 3n, least, ...(k?.steps ?? []).filter((s) => sum > s.above).map((s) => s.class)];
  return classes.reduce((a, b) => (a > b ? a : b));
}

export const urgent = (p, action) => p.emergency !== undefined && p.emergency.kinds.some((k) => matches(k, action.kind));

export const emergencyRule = ({ people, deadline, window }) => ({ approvals: people, people, operators: people, deadline, window });

export const ruleEquals = (a, b) => [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => a[name] === b[name]);

export const decidesAlone = (p, level, c) => level <= 5n && c < 3n && c < (p.levels[Number(level)].alone ?? 0n);

export const weightOf = (p, level) => p.levels[level <= 5n ? Number(level) : 0].rights.weight ?? 0n;
