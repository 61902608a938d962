// Who runs a realm and who belongs to it: genesis, rosters, join tokens and admissions, successions, credentials, tokens
// and enrolments, heads and inclusions. Each check stands on the page of its statement, in this order.
import { bool, bytes, byte, decode, int, list, map, text, uint } from './cbor.mjs';
import { checkKey } from './ed25519.mjs';
import { leads } from './merkle.mjs';
import { must } from './refuse.mjs';
import {
  AGENT, NODE, NO_REALM, OPERATOR, SKEW, among, checkAddresses, checkCurrent, checkId, checkIds, checkLife, checkThreshold,
  checkVersion, digest, id, isName, isPatterns, key, keyOf, kind, parseCosigned, parseSign1, role, same, sha256, zero,
} from './wire.mjs';

const HOUR = 3600000n;

// --- genesis.md

export const genesis = kind('genesis', map([0, 'version', uint], [1, 'created', int], [2, 'roots', list(id)],
  [3, 'threshold', uint], [4, 'nodes', list(id)], [5, 'policy', digest], [6, 'solo', bool], [7, 'nonce', bytes(16)]), (g) => {
  checkVersion(g.version);
  must(g.created > 0n && !zero(g.policy) && !zero(g.nonce), 'malformed', 'genesis without time, policy or nonce');
  checkThreshold(g.roots, g.threshold);
  must(!g.solo || g.roots.length === 1, 'malformed', 'solo has one root');
  checkIds(g.nodes, NODE);
});

export function verifyGenesis(raw, realm) {
  const c = parseCosigned(genesis, raw);
  must(same(c.id(NO_REALM), realm), 'wrong_realm', 'genesis of another realm');
  return c.cosignedBy(NO_REALM, c.claim.threshold, c.claim.roots.map(keyOf)).claim;
}

// --- join.md

export const joinToken = kind('join-token', map([0, 'version', uint], [1, 'oneTime', key], [2, 'issued', int], [3, 'expires', int],
  [4, 'addresses', list(text)], [5, 'pins', list(id)], [6, 'roster', uint]), (t) => {
  checkVersion(t.version);
  checkAddresses(t.addresses);
  checkKey(t.oneTime);
  checkIds(t.pins, NODE);
  checkLife(t, 24n * HOUR);
});

export const admission = kind('admission', map([0, 'version', uint], [1, 'token', bytes()], [2, 'node', id], [3, 'issued', int]), (a) => {
  checkVersion(a.version);
  must(role(a.node) === NODE && a.issued > 0n && a.token.length > 0, 'malformed', "admission's node, time or token");
  checkId(a.node);
});

export function verifyJoinToken(raw, authority) {
  return parseCosigned(joinToken, raw).cosignedBy(authority.realm, authority.threshold, authority.roots.map(keyOf)).claim;
}

export function verifyAdmission(raw, authority) {
  const c = parseCosigned(admission, raw), token = verifyJoinToken(c.claim.token, authority);
  const node = keyOf(c.claim.node);
  must(!same(node, token.oneTime), 'malformed', "the one-time key is the node's");
  c.cosignedBy(authority.realm, 2, [node, token.oneTime]);
  return { node: c.claim.node, token };
}

// --- roster.md

export const roster = kind('roster', map([0, 'version', uint], [1, 'number', uint], [2, 'previous', digest], [3, 'issued', int],
  [4, 'roots', list(id)], [5, 'threshold', uint], [6, 'nodes', list(id)], [7, 'recovery', bool], [8, '?joining', list(id)],
  [9, '?admission', bytes()]), (r) => {
  checkVersion(r.version);
  must(r.number >= 1n && r.issued > 0n && !zero(r.previous), 'malformed', 'roster without number, time or predecessor');
  checkThreshold(r.roots, r.threshold);
  checkIds(r.nodes, NODE);
  must(!r.recovery || !r.admission, 'malformed', 'a recovery admits nobody');
  if (!r.joining) return;
  checkIds(r.joining, NODE);
  must(r.nodes.length + r.joining.length <= 64, 'malformed', 'more than 64 nodes with those that join');
  must(!r.joining.some((n) => among(n, r.nodes)), 'malformed', 'a node that joins counts');
});

const equal = (a, b) => a.length === b.length && a.every((x, i) => same(x, b[i]));
const merged = (...lists) => lists.flat().sort(Buffer.compare);

// followChain returns the authority that the genesis and the rosters lead to.
export function followChain(realm, rawGenesis, rosters, least = 0n) {
  const g = verifyGenesis(rawGenesis, realm);
  let authority = {
    realm, number: 0n, roots: g.roots, threshold: g.threshold, nodes: g.nodes, joining: [], policy: g.policy, solo: g.solo,
    latest: realm, spent: [],
  };
  for (const raw of rosters) authority = next(authority, raw);
  must(authority.number >= least, 'superseded', 'a newer roster was seen');
  return authority;
}

export const majority = (authority) => Math.floor(authority.nodes.length / 2) + 1;

// next returns the authority after one more roster.
export function next(a, raw) {
  const c = parseCosigned(roster, raw), r = c.claim;
  r.joining ??= [];
  must(r.number === a.number + 1n && same(r.previous, a.latest), 'malformed', 'roster does not follow');
  const spent = [...a.spent];
  if (r.admission) spent.push(admit(a, r));
  else if (!promotes(a, r)) c.cosignedBy(a.realm, a.threshold, a.roots.map(keyOf));
  if (!r.recovery) c.cosignedBy(a.realm, majority(a), a.nodes.map(keyOf));
  return {
    ...a, number: r.number, roots: r.roots, threshold: r.threshold, nodes: r.nodes, joining: r.joining,
    solo: a.solo && r.roots.length === 1, latest: c.id(a.realm), spent,
  };
}

const governsAlike = (a, r) => equal(r.roots, a.roots) && r.threshold === a.threshold;

function promotes(a, r) {
  return !r.recovery && governsAlike(a, r) && r.nodes.length > a.nodes.length && a.nodes.every((n) => among(n, r.nodes)) &&
    equal(merged(a.nodes, a.joining), merged(r.nodes, r.joining));
}

function admit(a, r) {
  const { node, token } = verifyAdmission(r.admission, a);
  must(governsAlike(a, r) && equal(r.nodes, a.nodes) && equal(r.joining, merged(a.joining, [node])), 'malformed',
    'a roster with an admission does more');
  must(token.roster <= a.number, 'superseded', 'the token names a later roster');
  must(r.issued < token.expires, 'expired', 'join token');
  must(r.issued >= token.issued - SKEW, 'not_yet', 'join token');
  must(!among(token.oneTime, a.spent), 'spent', 'join token');
  return token.oneTime;
}

// --- succession.md

export const succession = kind('succession', map([0, 'version', uint], [1, 'principal', id], [2, 'number', uint],
  [3, 'previous', digest], [4, 'old', key], [5, 'new', key], [6, 'issued', int]), (s) => {
  checkVersion(s.version);
  must(s.issued > 0n && !same(s.old, s.new) && s.number >= 1n && zero(s.previous) === (s.number === 1n), 'malformed',
    "succession's time, keys or number");
  checkKey(s.new);
});

// followSuccessions returns all keys that a principal has had, its inception key first.
export function followSuccessions(realm, principal, chain) {
  checkId(principal);
  const keys = [keyOf(principal)];
  let previous = NO_REALM;
  chain.forEach((raw, i) => {
    const c = parseCosigned(succession, raw), s = c.claim;
    must(same(s.principal, principal) && s.number === BigInt(i + 1) && same(s.previous, previous) && same(s.old, keys[i]),
      'malformed', 'succession does not follow');
    c.cosignedBy(realm, 2, [s.old, s.new]);
    keys.push(s.new);
    previous = c.id(realm);
  });
  return keys;
}

// --- credential.md

const credential = kind('credential', map([0, 'version', uint], [1, 'principal', id], [2, 'epoch', uint], [3, 'connect', key],
  [4, 'signing', key], [5, 'sealing', digest], [6, 'issued', int], [7, 'expires', int]), (c) => {
  checkVersion(c.version);
  must(!zero(c.sealing) && !same(c.connect, c.signing), 'malformed', "credential's keys");
  checkId(c.principal);
  checkKey(c.connect);
  checkKey(c.signing);
  checkLife(c, 24n * HOUR);
});

// readCredential returns a signed credential with its id, which names the process; it need not be current.
export function readCredential(raw, realm, signer) {
  const signed = parseSign1(credential, raw).verify(realm, signer);
  return { ...signed.claim, id: signed.id(realm) };
}

export function verifyCredential(raw, realm, signer, now) {
  const c = readCredential(raw, realm, signer);
  checkCurrent(c.issued, c.expires, now);
  return c;
}

// --- enrolment.md

export const token = kind('token', map([0, 'version', uint], [1, 'operator', id], [2, 'name', text], [3, 'level', byte],
  [4, 'oneTime', key], [5, 'issued', int], [6, 'expires', int], [7, 'addresses', list(text)], [8, 'pins', list(id)],
  [9, 'serves', list(text)], [10, 'roster', uint], [11, '?parent', id]), (t) => {
  checkVersion(t.version);
  must(role(t.operator) === OPERATOR, 'malformed', 'token by no operator');
  checkId(t.operator);
  checkAddresses(t.addresses);
  must(isName(t.name) && t.level <= 5n && isPatterns(t.serves), 'malformed', "token's name, level or capabilities");
  checkKey(t.oneTime);
  checkIds(t.pins, NODE);
  if (t.parent) {
    must(role(t.parent) === AGENT, 'malformed', "token's parent is no agent");
    checkId(t.parent);
  }
  checkLife(t, 168n * HOUR);
});

export const enrolment = kind('enrolment', map([0, 'version', uint], [1, 'token', bytes()], [2, 'agent', id], [3, 'issued', int]), (e) => {
  checkVersion(e.version);
  must(role(e.agent) === AGENT && e.issued > 0n && e.token.length > 0, 'malformed', "enrolment's agent, time or token");
  checkId(e.agent);
});

export const verifyToken = (raw, realm, signer) => parseSign1(token, raw).verify(realm, signer).claim;

export function verifyEnrolment(raw, realm, signer) {
  const c = parseCosigned(enrolment, raw), t = verifyToken(c.claim.token, realm, signer);
  const agent = keyOf(c.claim.agent);
  must(!same(agent, t.oneTime), 'malformed', "the one-time key is the agent's");
  c.cosignedBy(realm, 2, [agent, t.oneTime]);
  return { agent: c.claim.agent, operator: t.operator, level: t.level, token: t };
}

// --- head.md

const head = kind('head', map([0, 'version', uint], [1, 'roster', uint], [2, 'size', uint], [3, 'root', digest], [4, 'time', int],
  [5, 'state', digest]), (h) => {
  checkVersion(h.version);
  must(h.size >= 1n && !zero(h.root) && h.time >= 0n, 'malformed', "head's size, root or time");
});

export function verifyHead(raw, authority) {
  const c = parseCosigned(head, raw);
  must(c.claim.roster === authority.number, 'superseded', 'head of another roster');
  return c.cosignedBy(authority.realm, majority(authority), authority.nodes.map(keyOf)).claim;
}

const leaf = map([1, 'index', uint], [2, 'command', digest], [3, '?verdict', text], [4, 'result', digest]);
export const inclusion = map([1, 'leaf', leaf], [2, '?path', list(digest)]);
export const receipt = map([1, 'inclusion', inclusion], [2, 'head', bytes()]);

// checkInclusion checks RFC 9162, 2.1.3.2; result is the encoding that the leaf is to show, or undefined.
export function checkInclusion(head, { leaf, path = [] }, leafBytes, result) {
  const fits = leaf.index >= 1n && leaf.index <= head.size;
  must(fits && leads(head.size, leaf.index - 1n, leafBytes, path, head.root), 'bad_signature', 'not included under this head');
  if (result === undefined) return;
  must(!leaf.verdict && same(leaf.result, sha256(result)), 'bad_signature', 'the leaf shows another result');
}

export { decode };
