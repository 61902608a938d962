// What an envelope is by itself (envelope.md, checks 1 to 9, "Subjects", and the encodings under which bodies are encrypted).
// Who receives it makes the rest, in receiver.mjs.
import { BYTES, byte, bytes, encodeArray, encodeBytes, encodeText, encodeUint, given, int, map, text, uint } from './cbor.mjs';
import { ENCAPSULATED } from './hpke.mjs';
import { nkey } from './nkey.mjs';
import { must } from './refuse.mjs';
import { AGENT, checkLife, checkVersion, digest, id, isCapability, kind, role, sha256, zero } from './wire.mjs';

export const MAX_ENVELOPE = 262144;
export const PROCESS = 1n, INBOX = 2n, TOPIC = 3n;
export const REQUEST = 1n, REPLY = 2n, EVENT = 3n, JOIN = 4n, FAULT = 5n;
export const PLAIN = 1n, SEALED = 2n, SESSION = 3n, SENDER_KEY = 4n;

const LIVE = 300000n, MAIL = 86400000n;
const GOES = { [REQUEST]: [PROCESS, INBOX], [REPLY]: [PROCESS], [EVENT]: [TOPIC], [JOIN]: [PROCESS], [FAULT]: [PROCESS] };
const ENCRYPTS = { [PLAIN]: [TOPIC], [SEALED]: [PROCESS, INBOX], [SESSION]: [PROCESS], [SENDER_KEY]: [TOPIC] };
const malformed = (holds, why) => must(holds, 'malformed', why);

export const answers = (e) => e.purpose === REPLY || e.purpose === FAULT;
export const keyed = (e) => e.encryption === SESSION || e.encryption === SENDER_KEY;

// --- grammar

const some = (type) => given(type);
export const destination = map([1, 'place', byte], [2, '?agent', some(id)], [3, '?instance', some(digest)], [4, '?topic', text]);
const begins = [[0, 'version', uint], [1, 'from', id], [2, 'credential', digest], [3, 'to', destination], [4, 'subject', text],
  [5, 'purpose', byte], [6, '?inReplyTo', some(digest)], [7, 'issued', int], [8, 'expires', int], [9, 'counter', uint]];
const ends = [[12, 'encryption', byte], [16, '?key', some(digest)]];

// common is what all envelopes of a frame have in common.
export const common = map(...begins, ...ends);

export const envelope = kind('envelope', map(...begins, [10, '?contentType', text], [11, '?trace', text], ends[0], [13, '?enc', bytes()],
  [14, '?digest', some(digest)], [15, 'body', bytes()], ends[1]), (e) => {
  checkCommon(e);
  checkContent(e);
});

// --- checks 1 to 8

export function checkCommon(e) {
  checkVersion(e.version);
  malformed(role(e.from) === AGENT && !zero(e.credential), "envelope's sender");
  checkDestination(e.to);
  malformed(isSubject(e.subject), 'subject');
  malformed((GOES[e.purpose] ?? []).includes(e.to.place), 'purpose');
  malformed(answers(e) === (e.inReplyTo !== undefined), 'in-reply-to');
  checkLife(e, e.to.place === INBOX ? MAIL : LIVE);
  malformed(e.counter >= 1n, 'counter');
  malformed(ENCRYPTS[e.encryption], 'encryption');
  must(ENCRYPTS[e.encryption].includes(e.to.place), e.encryption === PLAIN ? 'denied' : 'malformed', 'encryption for that place');
  malformed(keyed(e) === (e.key !== undefined), 'key');
}

function checkDestination({ place, agent, instance, topic }) {
  if (place === TOPIC) return malformed(!agent && !instance && topic !== undefined && isCapability(topic), 'topic');
  malformed(place === PROCESS || place === INBOX, 'place');
  return malformed(agent && role(agent) === AGENT && instance && topic === undefined, 'process or inbox');
}

const isSubject = (s) => s.length >= 1 && s.length <= 512 && /^[!-~]+$/.test(s) && !/[*>]/.test(s) && s.split('.').every((word) => word !== '');

// --- check 9

export function checkContent(e) {
  const contentType = e.contentType ?? '', trace = e.trace ?? '';
  malformed(contentType.length <= 128 && /^[ -~]*$/.test(contentType), 'content type');
  malformed(trace === '' || isTrace(trace), 'trace');
  malformed(e.encryption === SEALED ? e.enc?.length === ENCAPSULATED : e.enc === undefined, 'enc');
  malformed((e.encryption === PLAIN) === (e.digest === undefined), 'digest');
  malformed(e.encryption === PLAIN || e.body.length >= 32, 'ciphertext shorter than salt and tag');
}

function isTrace(s) {
  const [, trace, span] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(s) ?? [];
  return trace !== undefined && /[^0]/.test(trace) && /[^0]/.test(span);
}

// --- subjects

const token = (b) => b.subarray(0, 16).toString('base64url');

// isSubjectOf says whether the subject is the one that belongs to purpose, sender and destination.
export function isSubjectOf(e, realm) {
  const begin = `c1.${token(realm)}`, from = nkey(e.from);
  if (e.to.place === TOPIC) return e.subject === `${begin}.top.${from}.${e.to.topic}`;
  const to = nkey(e.to.agent);
  if (e.to.place === INBOX) return e.subject === `${begin}.msg.${to}.${from}`;
  const process = `${to}.${token(e.to.instance)}.${from}`;
  if (!answers(e)) return e.subject === `${begin}.req.${process}`;
  const exchange = e.subject.slice(`${begin}.rep.${process}.`.length);
  return e.subject === `${begin}.rep.${process}.${exchange}` && /^[A-Za-z0-9_-]{21}[AQgw]$/.test(exchange);
}

// --- what bodies are encrypted under

const info = (text, realm, e, ...more) =>
  encodeArray(encodeText(text), encodeBytes(realm), encodeBytes(e.from), encodeBytes(e.credential), e.to[BYTES], ...more);

export const sealInfo = (realm, e) => info('conclave/1 seal', realm, e, encodeText(e.subject), encodeUint(e.counter));
export const lineInfo = (realm, e) => info('conclave/1 body key', realm, e);
export const senderKeyId = (secret) => sha256(encodeArray(encodeText('conclave/1 sender key'), encodeBytes(secret)));
