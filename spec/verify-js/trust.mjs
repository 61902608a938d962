// What a policy says of evidence and of the ladder (policy.md, checks 12 and 13). What it comes to is the ledger's to reckon.
import { int, list, map, uint } from './cbor.mjs';
import { must } from './refuse.mjs';

const MINUTE = 60000n, HOUR = 3600000n, DAY = 86400000n, YEARS = 3650n * DAY, UNIT = 1000000n, MUCH = 1000n * UNIT;
const invalid = (holds, why) => must(holds, 'invalid_input', why);
const within = (n, least, most) => n >= least && n <= most;

// --- 12

const HALVES = ['slow', 'fast', 'violation', 'recidivism', 'suspicion', 'debt'];
const halfLives = map(...HALVES.map((name, i) => [i + 1, name, int]));
export const reckoning = map([1, 'halfLife', halfLives], [2, 'prior', int], [3, 'gamma', uint], [4, 'daily', int], [5, 'fromOne', int],
  [6, 'rated', int], [7, 'allowance', int], [8, 'severities', list(int)], [9, 'alarm', uint], [10, 'blame', uint], [11, 'vote', int],
  [12, 'sudden', uint], [13, 'grace', int], [14, 'dwell', int], [15, 'longest', int], [16, 'suspect', uint]);

// bounds are, by field, the least, the most, and the default.
const bounds = ({ daily, dwell }) => ({
  prior: [UNIT, MUCH, 8n * UNIT], gamma: [0n, 999n, 500n], daily: [UNIT, MUCH, 3n * UNIT], fromOne: [1n, daily, UNIT],
  rated: [0n, MUCH, 4n * UNIT], allowance: [0n, MUCH, 3n * UNIT], alarm: [0n, 1000n, 600n], blame: [1n, 10n, 3n], vote: [0n, UNIT, UNIT / 5n],
  sudden: [0n, 1000n, 500n], grace: [0n, YEARS, DAY], dwell: [0n, YEARS, 14n * DAY], longest: [dwell, YEARS, 180n * DAY],
  suspect: [0n, 1000n, 300n],
});
const HALF_LIVES = [45n * DAY, DAY, 90n * DAY, 180n * DAY, 6n * HOUR, 180n * DAY];
const SEVERITIES = [UNIT / 2n, 2n * UNIT, 8n * UNIT, 32n * UNIT];

export function checkReckoning(r) {
  const lives = HALVES.map((name) => r.halfLife[name]), all = Object.entries(bounds(r));
  must(r.severities.length === SEVERITIES.length, 'malformed', '4 severities');
  invalid(lives.every((t) => within(t, MINUTE, YEARS)), 'half-lives');
  invalid(r.severities.every((w, i) => within(w, r.severities[i - 1] ?? 1n, MUCH)), 'severities');
  for (const [name, [least, most]] of all) invalid(within(r[name], least, most), name);
  const usual = all.every(([name, [, , usually]]) => r[name] === usually) && lives.every((t, i) => t === HALF_LIVES[i]) &&
    r.severities.every((w, i) => w === SEVERITIES[i]);
  invalid(!usual, 'the default is not written');
}

// --- 13

const FIELDS = ['class', 'score', 'held', 'floor', 'tenure', 'outcomes', 'inClass', 'operators', 'votes', 'clean', 'cleanFor', 'people', 'foreign',
  'lease'];
const TIMES = ['held', 'tenure', 'cleanFor', 'lease'], OPTIONAL = ['inClass', 'operators', 'votes', 'clean', 'cleanFor', 'foreign', 'lease'];
export const rung = map(...FIELDS.map((name, i) => [i + 1, (OPTIONAL.includes(name) ? '?' : '') + name, TIMES.includes(name) ? int : uint]));

const RISING = ['class', 'score', 'held', 'floor', 'tenure', 'outcomes', 'inClass', 'votes', 'people', 'foreign'];
const DEFAULT = [
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
  [0, 500, 3, 400, 7, 30, 0, 0, 0, 0, 0, 1, 0, 0],
  [1, 700, 7, 600, 14, 60, 0, 2, 0, 2, 90, 1, 1, 90],
  [2, 800, 14, 700, 30, 300, 30, 0, 20, 0, 0, 2, 2, 90],
  [2, 900, 30, 800, 60, 300, 30, 0, 20, 1, 90, 2, 2, 30],
];

// usual is what a field of a level is by default.
function usual(level, name, preset) {
  if (preset === 'solo' && name === 'people') return 1n;
  if (preset === 'solo' && (name === 'foreign' || name === 'operators')) return 0n;
  return BigInt(DEFAULT[level][FIELDS.indexOf(name)]) * (TIMES.includes(name) ? DAY : 1n);
}

export function checkLadder(given, preset) {
  const rungs = given.map((r) => Object.fromEntries(FIELDS.map((name) => [name, r[name] ?? 0n])));
  invalid(rungs.length === DEFAULT.length, '5 rungs');
  rungs.forEach((r) => checkRung(r, preset));
  invalid(rungs[0].floor === 0n && rungs[0].lease === 0n, 'nothing takes L1 away');
  rungs.forEach((r, i) => invalid(i === 0 || RISING.every((name) => r[name] >= rungs[i - 1][name]), 'less than of the level below'));
  invalid(!rungs.every((r, i) => FIELDS.every((name) => r[name] === usual(i, name, preset))), 'the default is not written');
}

function checkRung(r, preset) {
  const margin = (r.floor === 0n && r.score === 0n) || r.score - r.floor >= 50n;
  invalid(r.class <= 3n && r.score <= 1000n && margin && within(r.held, 0n, YEARS) && within(r.tenure, 0n, YEARS), 'class, score or times');
  invalid(r.outcomes <= 1000000n && r.votes <= 1000000n && r.inClass <= r.outcomes && r.operators <= 4n && r.operators <= r.outcomes, 'counts');
  invalid(r.clean <= 4n && within(r.cleanFor, 0n, YEARS) && (r.clean === 0n) === (r.cleanFor === 0n), 'clean');
  invalid(within(r.people, 1n, 16n) && r.foreign <= r.people && (r.lease === 0n || within(r.lease, DAY, YEARS)), 'people or lease');
  invalid(preset !== 'solo' || (r.people === 1n && r.foreign === 0n && r.operators === 0n), 'others in a solo realm');
}
