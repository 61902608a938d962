// One function for each kind of vector that this verifier covers (../README.md, "Vectors"): what a verifier knows, and the
// bytes to check. Each throws a Refusal, or accepts.
import { BYTES, bytes, decode, list } from './cbor.mjs';
import { verifyCard } from './card.mjs';
import { allows, verifyCertificate, verifyConsumption } from './certificate.mjs';
import { checkElectorate, opening, proposal, tally, verifyBallot, verifyCommitment, verifyEquivocation } from './decision.mjs';
import { verifyEvidence } from './evidence.mjs';
import { Ledger } from './ledger.mjs';
import { principal } from './nkey.mjs';
import { checkRoots, parsePolicy } from './policy.mjs';
import { verifyPresence } from './presence.mjs';
import {
  checkInclusion, followChain, followSuccessions, inclusion, verifyAdmission, verifyCredential, verifyEnrolment, verifyGenesis, verifyHead,
  verifyJoinToken, verifyToken,
} from './realm.mjs';
import { Receiver } from './receiver.mjs';
import { Refusal, must, refuse } from './refuse.mjs';
import { verifyTicket } from './ticket.mjs';
import { parseSign1 } from './wire.mjs';

const hex = (s = '') => Buffer.from(s, 'hex');
const all = (list = []) => list.map(hex);
const least = (context) => BigInt(context.least ?? 0);
const authority = (context, realm) => followChain(realm, hex(context.genesis), all(context.rosters), least(context));
const openingOf = (context) => decode(opening, hex(context.opening));

// receiverOf is the process that opens an envelope or batch, with what it was told before.
function receiverOf({ realm, context: c, now }) {
  const own = hex(c.receiver.realm), { subject, topic } = c.delivery;
  const credential = verifyCredential(hex(c.receiver.credential), own, hex(c.receiver.key), now);
  const receiver = new Receiver({
    realm, policy: parsePolicy(hex(c.policy)),
    process: { realm: own, credential, sealing: hex(c.receiver.sealing) },
    inbox: c.receiver.inbox && { id: hex(c.receiver.inbox), sealing: hex(c.receiver.inbox_sealing) },
    delivery: {
      subject, topic, inReplyTo: c.delivery.in_reply_to && hex(c.delivery.in_reply_to),
      replyFrom: c.delivery.reply_from && principal(c.delivery.reply_from),
    },
  }, c.windows);
  const nodes = followChain(realm, hex(c.genesis), []);
  for (const l of c.learned ?? []) receiver.learn(hex(l.ticket), l.credential && hex(l.credential), nodes, BigInt(l.at));
  for (const secret of all(c.sender_keys)) receiver.addSenderKey(secret);
  for (const s of c.sessions ?? []) receiver.addSession(hex(s.id), [hex(s.opener), hex(s.other)], hex(s.secret));
  for (const j of c.joined ?? []) receiver.join(hex(j.credential), j.topic, BigInt(j.first));
  return receiver;
}

function openAll(known) {
  const receiver = receiverOf(known);
  for (const delivery of [...all(known.context.before), known.input]) receiver.open(delivery, known.now);
}

export const statements = {
  'policy': ({ context, input }) => {
    const p = parsePolicy(input);
    if (context.roots) checkRoots(p, context.roots);
  },
  'command': ({ realm, context, input }) => {
    const ledger = new Ledger(realm, hex(context.genesis), hex(context.policy));
    for (const entry of all(context.entries)) ledger.apply(entry);
    ledger.command(input);
  },
  'envelope': openAll,
  'batch': openAll,
  'presence': ({ realm, context, input, now }) =>
    verifyPresence(input, realm, verifyCredential(hex(context.credential), realm, hex(context.key), now), now),
  'card': ({ realm, context, input }) => verifyCard(input, realm, principal(context.agent), hex(context.key)),
  'ticket': ({ realm, context, input, now }) => verifyTicket(input, authority(context, realm), now),
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
  'evidence': ({ realm, context, input, now }) => verifyEvidence(input, realm, hex(context.author), hex(context.attester), now),
  'proposal': ({ realm, context, input }) => parseSign1(proposal, input).verify(realm, hex(context.key)),
  'opening': ({ context, input }) => checkElectorate(decode(opening, input), principal(context.proposer)),
  'ballot': ({ realm, context, input }) => verifyBallot(input, realm, openingOf(context)),
  'commitment': ({ realm, context, input }) => verifyCommitment(input, realm, openingOf(context)),
  'equivocation': ({ realm, context, input }) => verifyEquivocation(decode(list(bytes()), input), realm, openingOf(context)),
  'tally': ({ realm, context, input }) => {
    const o = openingOf(context), state = tally(o, { ballots: decode(list(bytes()), input).map((b) => verifyBallot(b, realm, o)) });
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
