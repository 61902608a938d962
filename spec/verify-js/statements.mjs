// One function for each kind of vector that this verifier covers (../README.md, "Vectors"): what a verifier knows, and the
// bytes to check. Each throws a Refusal, or accepts.
import { bytes, decode, list } from './cbor.mjs';
import { allows, verifyCertificate, verifyConsumption } from './certificate.mjs';
import { checkElectorate, opening, proposal, tally, verifyBallot, verifyCommitment, verifyEquivocation } from './decision.mjs';
import {
  checkInclusion, followChain, followSuccessions, inclusion, verifyAdmission, verifyCredential, verifyEnrolment, verifyGenesis, verifyHead,
  verifyJoinToken, verifyToken,
} from './realm.mjs';
import { BYTES } from './cbor.mjs';
import { Refusal, must, refuse } from './refuse.mjs';
import { parseSign1 } from './wire.mjs';

const hex = (s = '') => Buffer.from(s, 'hex');
const all = (list = []) => list.map(hex);
const least = (context) => BigInt(context.least ?? 0);
const authority = (context, realm) => followChain(realm, hex(context.genesis), all(context.rosters), least(context));
const openingOf = (context) => decode(opening, hex(context.opening));

export const statements = {
  'genesis': ({ realm, input }) => verifyGenesis(input, realm),
  'roster': ({ realm, context, input }) => followChain(realm, hex(context.genesis), [...all(context.rosters), input], least(context)),
  'join-token': ({ realm, context, input }) => verifyJoinToken(input, authority(context, realm)),
  'admission': ({ realm, context, input }) => verifyAdmission(input, authority(context, realm)),
  'token': ({ realm, context, input }) => verifyToken(input, realm, hex(context.key)),
  'enrolment': ({ realm, context, input }) => verifyEnrolment(input, realm, hex(context.key)),
  'credential': ({ realm, context, input, now }) => verifyCredential(input, realm, hex(context.key), now),
  'succession': ({ realm, context, input }) => followSuccessions(realm, principal(context.principal), [...all(context.chain), input]),
  'head': ({ realm, context, input }) => verifyHead(input, authority(context, realm)),
  'inclusion': ({ realm, context, input }) => {
    const shown = decode(inclusion, input), head = verifyHead(hex(context.head), authority(context, realm));
    checkInclusion(head, shown, shown.leaf[BYTES], context.result === undefined ? undefined : hex(context.result));
  },
  'proposal': ({ realm, context, input }) => parseSign1(proposal, input).verify(realm, hex(context.key)),
  'opening': ({ context, input }) => checkElectorate(decode(opening, input), principal(context.proposer)),
  'ballot': ({ realm, context, input }) => verifyBallot(input, realm, openingOf(context)),
  'commitment': ({ realm, context, input }) => verifyCommitment(input, realm, openingOf(context)),
  'equivocation': ({ realm, context, input }) => verifyEquivocation(decode(list(bytes()), input), realm, openingOf(context)),
  'tally': ({ realm, context, input }) => {
    const o = openingOf(context), state = tally(o, decode(list(bytes()), input).map((b) => verifyBallot(b, realm, o)));
    must(state !== 'open', 'pending', 'not decided');
    must(state === 'approved', 'rejected', state);
  },
  'certificate': ({ realm, context, input, now }) => {
    const proved = verifyCertificate(input, realm, least(context));
    if (context.use) allows(proved, hex(context.use.action), principal(context.use.executor), hex(context.use.store), now);
  },
  'consumption': ({ realm, context, input }) => {
    const proved = verifyCertificate(hex(context.certificate), realm);
    verifyConsumption(proved, input, hex(context.receipt), context.action === undefined ? undefined : hex(context.action));
  },
};

// outcome returns "ok" or the code of the refusal.
export function outcome(statement, known) {
  try {
    (statements[statement] ?? (() => refuse('usage', `${statement} is not covered`)))(known);
    return 'ok';
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

// principal reads an nkey: base32 of a prefix byte, the inception key and a CRC-16.
export function principal(nkey) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...nkey].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('');
  const raw = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  must(raw.length === 35 && crc16(raw.subarray(0, 33)) === raw.readUInt16LE(33), 'malformed', 'no nkey');
  return Buffer.concat([Buffer.from(nkey[0]), raw.subarray(1, 33)]);
}

// crc16 is CRC-16/XMODEM.
function crc16(b) {
  let crc = 0;
  for (const x of b) {
    crc ^= x << 8;
    for (let i = 0; i < 8; i++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc;
}
