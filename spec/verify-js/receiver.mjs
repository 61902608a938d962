// One process that opens what is delivered to it (envelope.md, checks 10 to 19).
import { read } from './batch.mjs';
import { BYTES, encodeMap, encodeText, encodeUint } from './cbor.mjs';
import { Counters } from './counters.mjs';
import {
  EVENT, INBOX, JOIN, PLAIN, PROCESS, REQUEST, SEALED, SENDER_KEY, SESSION, TOPIC, answers, isSubjectOf, lineInfo, sealInfo, senderKeyId,
} from './envelope.mjs';
import { expand, open, openAead } from './hpke.mjs';
import { isPlain, rightsOf } from './policy.mjs';
import { readCredential } from './realm.mjs';
import { Refusal, must } from './refuse.mjs';
import { checkStatus, verifyTicket } from './ticket.mjs';
import { checkCurrent, matches, same, sha256 } from './wire.mjs';

const hex = (b) => b.toString('hex');
const lineOf = (credential, to) => `${hex(credential)} ${hex(to)}`;

export class Receiver {
  // own has the realm that is verified in, the policy, and what the vector's context says of process and delivery.
  constructor(own, windows) {
    Object.assign(this, { ...own, senders: new Map(), keys: new Map(), counters: new Counters(windows) });
  }

  // learn takes in a ticket, unless a newer one is known, and a credential that the ticket's key has signed.
  learn(rawTicket, rawCredential, authority, now) {
    const ticket = verifyTicket(rawTicket, authority, now), name = hex(ticket.principal);
    const known = this.senders.get(name) ?? { ticket, processes: new Map() };
    if (ticket.index > known.ticket.index || (ticket.index === known.ticket.index && ticket.issued >= known.ticket.issued)) known.ticket = ticket;
    this.senders.set(name, known);
    if (!rawCredential) return;
    const credential = readCredential(rawCredential, this.realm, known.ticket.key);
    known.processes.set(hex(credential.id), { credential, key: known.ticket.key });
  }

  addSenderKey(secret) {
    this.keys.set(hex(senderKeyId(secret)), { encryption: SENDER_KEY, secret });
  }

  addSession(id, ends, secret) {
    this.keys.set(hex(id), { encryption: SESSION, ends, secret });
  }

  join(credential, topic, first) {
    this.counters.begin(lineOf(credential, encodeMap([1, encodeUint(TOPIC)], [4, encodeText(topic)])), first);
  }

  // open accepts a delivery, or throws the first refusal; of a frame, members that are refused by themselves stop no others.
  open(delivery, now) {
    const { envelopes, signed } = read(delivery, this.realm), first = envelopes[0];
    must(same(this.process.realm, this.realm), 'wrong_realm', 'the receiver is of another realm');
    addressed(first, this);
    const { credential, level } = senderOf(first, this, now);
    checkCurrent(first.issued, first.expires, now);
    signed(credential.signing);
    this.key = keyOf(first, this.keys);
    authorised(first, this, level);
    const refusals = envelopes.map((e) => this.accept(e)).filter((r) => r);
    if (refusals.length > 0) throw refusals[0];
  }

  accept(e) {
    try {
      const session = contentOf(e, this);
      this.count(e);
      if (session) this.addSession(e.id, [e.credential, e.to.instance], session);
      return undefined;
    } catch (error) {
      if (error instanceof Refusal) return error;
      throw error;
    }
  }

  count(e) {
    if (e.to.place === INBOX) return this.counters.useMail(hex(e.id));
    const line = lineOf(e.credential, e.to[BYTES]);
    if (e.to.place === PROCESS) this.counters.begin(line, 1n);
    return this.counters.use(line, e.counter);
  }
}

// --- 11

const alike = (a, b) => (a === undefined) === (b === undefined) && (a === undefined || same(a, b));

function addressed(e, { process, inbox, delivery }) {
  const topic = delivery.topic, place = topic !== undefined ? TOPIC : inbox ? INBOX : PROCESS;
  const here = e.to.place === place && (place === TOPIC ? e.to.topic === topic
    : same(e.to.agent, process.credential.principal) && same(e.to.instance, inbox ? inbox.id : process.credential.id));
  must(here && e.subject === delivery.subject, 'misaddressed', 'delivered elsewhere');
  must(alike(e.inReplyTo, delivery.inReplyTo), 'misaddressed', 'answers another request');
  must(!answers(e) || alike(e.from, delivery.replyFrom), 'misaddressed', 'answers what another was asked');
}

// --- 12

function senderOf(e, { senders }, now) {
  const known = senders.get(hex(e.from));
  must(known, 'unknown', 'sender');
  const { ticket, processes } = known;
  checkCurrent(ticket.issued, ticket.expires, now);
  checkStatus(ticket.status);
  const process = processes.get(hex(e.credential));
  must(process, 'unknown', "sender's process");
  const { credential, key } = process;
  must(same(key, ticket.key) && credential.epoch >= ticket.epoch, 'superseded', "sender's key or credential");
  checkCurrent(credential.issued, credential.expires, e.to.place === INBOX ? e.issued : now);
  must(ticket.level > 0n, 'quarantined', "sender's level");
  return { credential, level: ticket.level };
}

// --- 15 to 17

function keyOf(e, keys) {
  if (!e.key) return undefined;
  const key = keys.get(hex(e.key)), ends = [e.credential, e.to.instance];
  must(key && key.encryption === e.encryption, 'unknown', 'session or sender key');
  const between = (a, b) => same(key.ends[0], a) && same(key.ends[1], b);
  must(e.encryption === SENDER_KEY || between(...ends) || between(...ends.reverse()), 'unknown', 'session of others');
  return key;
}

// contentOf checks that the body holds what was signed; it returns the secret of the session that the envelope opens, if any.
function contentOf(e, receiver) {
  if (e.encryption === PLAIN) return undefined;
  const { plain, exported } = e.encryption === SEALED ? unsealed(e, receiver) : { plain: decrypted(e, receiver) };
  must(same(sha256(plain), e.digest), 'malformed', 'content of another digest');
  return exported && e.to.place === PROCESS ? exported('conclave/1 session') : undefined;
}

const unsealed = (e, { realm, process, inbox }) => open(e.to.place === INBOX ? inbox.sealing : process.sealing, e.enc, sealInfo(realm, e), e.body);

function decrypted(e, { realm, key }) {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(e.counter, 4);
  return openAead(expand(key.secret, lineInfo(realm, e), 32), nonce, e.body);
}

// --- 18

function authorised(e, { realm, policy }, level) {
  must(isSubjectOf(e, realm), 'malformed', 'subject of something else');
  must(e.encryption !== PLAIN || isPlain(policy, e.to.topic), 'denied', 'a topic that is encrypted');
  const { call = [], serve = [], publish = [], subscribe = [] } = rightsOf(policy, level);
  const may = e.purpose === REQUEST ? call.length > 0
    : e.purpose === JOIN ? subscribe.length > 0
      : e.purpose === EVENT ? publish.some((p) => matches(p, e.to.topic)) : serve.length + publish.length > 0;
  must(may, 'denied', "the sender's level");
}

