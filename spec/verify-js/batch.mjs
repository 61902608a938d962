// Envelopes that were signed together (batch.md): members and frames.
import {
  BYTES, bytes, decode, encodeBytes, encodeInt, encodeMap, encodeText, encodeUint, list, map, raw, text, tuple, uint,
} from './cbor.mjs';
import { SEALED, MAX_ENVELOPE, checkCommon, common, envelope, keyed } from './envelope.mjs';
import { leads, root } from './merkle.mjs';
import { must } from './refuse.mjs';
import { checkVersion, digest, kind, parseSign1, same, sha256, signedBytes, zero } from './wire.mjs';

const MAX_BATCH = 1024n, MAX_PATH = 10;
const malformed = (holds, why) => must(holds, 'malformed', why);

const batch = kind('batch', map([0, 'version', uint], [1, 'credential', digest], [2, 'size', uint], [3, 'root', digest]), (b) => {
  checkVersion(b.version);
  malformed(!zero(b.credential) && b.size >= 1n && b.size <= MAX_BATCH, "batch's credential or size");
});

const member = tuple(['form', uint], ['head', bytes()], ['index', uint], ['path', list(digest)], ['payload', bytes()]);
const frame = tuple(['form', uint], ['head', bytes()], ['common', common], ['members', list(raw)]);

// read returns the envelopes of a delivery in any of the three forms, each with its payload, and signed: a check that its
// sender's key has signed them all.
export function read(delivery, realm) {
  if (delivery[0] === 0x85) return readMember(delivery, realm);
  if (delivery[0] === 0x84) return readFrame(delivery, realm);
  const one = parseSign1(envelope, delivery, MAX_ENVELOPE);
  return { envelopes: [{ ...one.claim, id: one.id(realm) }], signed: (key) => one.verify(realm, key) };
}

const named = (payload, realm) => {
  const e = decode(envelope.grammar, payload);
  envelope.check(e);
  return { ...e, id: sha256(leafOf(payload, realm)) };
};

const leafOf = (payload, realm) => signedBytes(envelope.name, realm, payload);

// --- member

function readMember(delivery, realm) {
  must(delivery.length <= MAX_ENVELOPE, 'too_large', 'member');
  const m = decode(member, delivery);
  malformed(m.form === 2n && m.path.length <= MAX_PATH, "member's form or path");
  const head = parseSign1(batch, m.head), e = named(m.payload, realm), { size, root: wanted } = head.claim;
  must(same(head.claim.credential, e.credential), 'bad_signature', 'batch of another process');
  return {
    envelopes: [e],
    signed: (key) => {
      head.verify(realm, key);
      must(leads(size, m.index, leafOf(m.payload, realm), m.path, wanted), 'bad_signature', 'not in the batch');
    },
  };
}

// --- frame

function readFrame(delivery, realm) {
  must(delivery.length <= MAX_ENVELOPE, 'too_large', 'frame');
  const f = decode(frame, delivery), c = f.common, count = BigInt(f.members.length);
  malformed(f.form === 1n, "frame's form");
  checkCommon(c);
  const head = parseSign1(batch, f.head);
  malformed(count <= MAX_BATCH, 'more members than any batch has');
  must(count === head.claim.size, 'bad_signature', 'more or fewer members than the batch has');
  malformed(c.encryption !== SEALED, 'nothing is sealed in a frame');
  malformed(c.counter + count - 1n < 1n << 64n, 'counters beyond the last');
  const payloads = f.members.map((m, i) => payloadOf(c, contentOf(c, m), c.counter + BigInt(i)));
  const envelopes = payloads.map((p) => named(p, realm));
  must(same(head.claim.credential, c.credential), 'bad_signature', 'batch of another process');
  return {
    envelopes,
    signed: (key) => {
      head.verify(realm, key);
      must(same(root(payloads.map((p) => leafOf(p, realm))), head.claim.root), 'bad_signature', 'not this batch');
    },
  };
}

const body = ['body', bytes()], sum = ['digest', digest], typed = [['contentType', text], ['trace', text]];

// contentOf reads a member in the shorter of its two forms, or the longer one where that is needed.
function contentOf(c, member) {
  const length = member[0] >> 5 === 4 ? member[0] & 31 : 0;
  if (!keyed(c) && length !== 3) return { body: decode(bytes(), member) };
  if (keyed(c) && length === 2) return decode(tuple(sum, body), member);
  const m = decode(tuple(...typed, ...(keyed(c) ? [sum] : []), body), member);
  malformed(m.contentType !== '' || m.trace !== '', 'member longer than needed');
  return m;
}

// payloadOf puts together the payload that the member would have by itself.
function payloadOf(c, m, counter) {
  const there = (value, encode) => (value === undefined || value.length === 0 ? undefined : encode(value));
  return encodeMap([0, encodeUint(c.version)], [1, encodeBytes(c.from)], [2, encodeBytes(c.credential)], [3, c.to[BYTES]],
    [4, encodeText(c.subject)], [5, encodeUint(c.purpose)], [6, there(c.inReplyTo, encodeBytes)], [7, encodeInt(c.issued)],
    [8, encodeInt(c.expires)], [9, encodeUint(counter)], [10, there(m.contentType, encodeText)], [11, there(m.trace, encodeText)],
    [12, encodeUint(c.encryption)], [14, there(m.digest, encodeBytes)], [15, encodeBytes(m.body)], [16, there(c.key, encodeBytes)]);
}
