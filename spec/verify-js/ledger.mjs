// What a node does with the log: ticks, and commands up to the checks of their types (command.md). Only what decides on later
// commands is kept: no tree, no heads, and of results none but openings.
import { decode } from './cbor.mjs';
import { bodies, command, entry, features } from './command.mjs';
import { decisions, countDue } from './deciding.mjs';
import { members, rootMembers } from './members.mjs';
import { parsePolicy } from './policy.mjs';
import { followChain, majority } from './realm.mjs';
import { Refusal, must } from './refuse.mjs';
import { ACTIVE, checkStatus } from './ticket.mjs';
import { NODE, OPERATOR, SKEW, among, keyOf, parseCosigned, role, same, sha256 } from './wire.mjs';

const MAX_TICKS = 64, MAX_TIME = 253402300799999n, SWEEP = 60000n;
const COMPARING = ['status', 'level', 'grant', 'card', 'succeed', 'epoch'];
const REMINDING = 2n;

const doors = { ...members, ...decisions };
const hex = (b) => b.toString('hex');
const descending = (a, b) => (a < b ? 1 : -1);

function checkedEntry(raw) {
  const e = decode(entry, raw);
  must(e.ticks || e.command, 'malformed', 'entry without a command');
  must((e.ticks ?? []).length <= MAX_TICKS, 'too_large', 'ticks');
  return e;
}

export class Ledger {
  constructor(realm, rawGenesis, rawPolicy) {
    const policy = parsePolicy(rawPolicy), authority = followChain(realm, rawGenesis, []);
    Object.assign(this, {
      realm, authority, policy, rawPolicy, founded: policy, now: 0n, feature: 0n, since: 0n, size: 0n, sweepAt: 0n, clocks: new Map(),
      members: rootMembers(authority.roots), tokens: new Set(), answers: new Map(), decisions: new Map(), nonces: new Set(), carried: 0,
    });
  }

  // apply executes one entry of the log. What is no entry leaves a leaf, as what is refused does, and changes nothing else.
  apply(raw) {
    const outcome = (run) => {
      try {
        run();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    };
    outcome(() => {
      const { ticks = [], command: one } = this.leaving(() => checkedEntry(raw));
      for (const tick of ticks) outcome(() => this.tick(parseCosigned(command, tick)));
      if (one) this.command(one);
    });
  }

  // command executes one command, or throws its refusal.
  command(raw) {
    const c = this.leaving(() => parseCosigned(command, raw)), { author, nonce, type } = c.claim;
    if (type === 'tick') return this.tick(c);
    const id = c.id(this.realm), name = `${hex(author)} ${hex(nonce)}`, before = this.answers.get(name);
    if (before && same(before.id, id) && (!before.refusal || same(before.signed, sha256(raw)))) return this.again(before);
    const order = this.leaving(() => this.admitted(c, raw, before));
    this.size++;
    order.index = this.size;
    const answer = { id, signed: sha256(raw), expires: c.claim.expires };
    this.answers.set(name, answer);
    try {
      return this.execute(order);
    } catch (refusal) {
      answer.refusal = refusal;
      throw refusal;
    }
  }

  // leaving counts the leaf of what is refused.
  leaving(check) {
    try {
      return check();
    } catch (refusal) {
      this.size++;
      throw refusal;
    }
  }

  again({ refusal }) {
    if (refusal) throw refusal;
  }

  // --- 4 to 7

  admitted(c, raw, before) {
    const order = this.admit(c, raw);
    must(!before || same(before.id, order.id), 'spent', 'the nonce is of another command');
    must(order.expires > this.now, 'expired', 'command');
    must(order.issued <= this.now + SKEW, 'not_yet', 'command');
    return order;
  }

  // admit finds out who signed: the author, who may take part, and further operators.
  admit(c, raw) {
    const author = this.author(c.claim);
    c.cosignedBy(this.realm, 1, [author ? author.key : keyOf(c.claim.author)]);
    const active = [...this.members.values()].filter((m) => role(m.id) === OPERATOR && m.status === ACTIVE);
    return { ...c.claim, id: c.id(this.realm), raw, member: author, signers: active.filter((m) => among(m.key, c.signers)) };
  }

  author({ author, type }) {
    if (role(author) === NODE) {
      must(among(author, this.authority.nodes), 'unknown', 'node');
      return undefined;
    }
    if (type === 'enrol') {
      must(!this.members.has(hex(author)), 'conflict', 'enrolled before');
      return undefined;
    }
    const m = this.member(author);
    checkStatus(m.status);
    return m;
  }

  member(id) {
    const m = this.members.get(hex(id));
    must(m, 'unknown', 'member');
    return m;
  }

  // --- 8 to 10

  execute(o) {
    const door = doors[o.type];
    must(door, 'version', `type ${o.type}`);
    must(o.type === 'remind' || (role(o.author) === NODE) === (o.type === 'roster'), 'denied', 'nodes tick, hand in rosters and remind');
    must(!o.expect || COMPARING.includes(o.type), 'malformed', 'nothing that could be compared');
    must(this.feature >= (features[o.type] ?? 0n), 'version', 'a node does not speak it');
    return door(this, o, decode(bodies[o.type], o.body));
  }

  loosen(o) {
    must(BigInt(o.signers.length) >= this.policy.loosen, 'no_quorum', 'too few operators have signed');
  }

  activeOperators() {
    return [...this.members.values()].filter((m) => role(m.id) === OPERATOR && m.status === ACTIVE);
  }

  // --- ticks

  tick(c) {
    const { author, body: raw, type, expect } = c.claim;
    must(type === 'tick' && !expect, 'malformed', 'no tick');
    must(role(author) === NODE, 'denied', 'only nodes tell the time');
    const body = decode(bodies.tick, raw), name = hex(author);
    must(among(author, this.authority.nodes), 'unknown', 'node');
    must(body.time <= MAX_TIME, 'malformed', 'time after the year 9999');
    must(body.time > (this.clocks.get(name)?.time ?? 0n), 'superseded', 'time that is not later');
    c.cosignedBy(this.realm, 1, [keyOf(author)]);
    this.clocks.set(name, { time: body.time, feature: body.feature ?? 0n });
    const reached = this.reached();
    if (reached > this.now) this.now = reached;
    this.advance();
    countDue(this);
    this.sweep();
  }

  // reached is the greatest time that a majority of the roster's nodes has told.
  reached() {
    const told = this.told().map((t) => t?.time).filter((t) => t !== undefined).sort(descending);
    return told[majority(this.authority) - 1] ?? 0n;
  }

  told() {
    return this.authority.nodes.map((n) => this.clocks.get(hex(n)));
  }

  // advance raises the feature level to the least that the roster's nodes have told.
  advance() {
    const spoken = this.told().map((t) => t?.feature ?? 0n).sort(descending).pop(), before = this.feature;
    if (spoken > before) this.feature = spoken;
    if (before < REMINDING && this.feature >= REMINDING && this.size > 0n) this.since = this.now + SKEW;
  }

  // sweep forgets the answers of commands that have expired, at most once a minute of log time.
  sweep() {
    if (this.now < this.sweepAt) return;
    this.sweepAt = this.now + SWEEP;
    for (const [name, answer] of this.answers) if (answer.expires <= this.now) this.answers.delete(name);
  }
}

