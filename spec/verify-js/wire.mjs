// The signed forms and the parts of statements (wire.md).
import { createHash } from 'node:crypto';
import { bytes, decode, encodeArray, encodeBytes, encodeText, list, map, tuple } from './cbor.mjs';
import { checkKey, verifySignature } from './ed25519.mjs';
import { must, refuse } from './refuse.mjs';

export const MAX_STATEMENT = 61440;
export const MAX_COSIGNERS = 64;
export const SKEW = 30000n;

export const sha256 = (b) => createHash('sha256').update(b).digest();
export const key = bytes(32), digest = bytes(32), id = bytes(33);
export const zero = (b) => b.every((x) => x === 0);
export const same = (a, b) => Buffer.compare(a, b) === 0;
export const among = (b, all) => all.some((other) => same(b, other));
export const NO_REALM = Buffer.alloc(32);

const sign1 = tuple(['header', bytes()], ['unprotected', map()], ['payload', bytes()], ['signature', bytes()]);
const cosignature = tuple(['key', key], ['signature', bytes()]);
const cosigned = tuple(['header', bytes()], ['payload', bytes()], ['signatures', list(cosignature)]);

const protectedHeader = (kind) =>
  Buffer.concat([Buffer.from([0xa2, 0x01, 0x32, 0x10]), encodeText(`application/conclave-${kind}+cbor`)]);

// kind says how a statement is read: its name, its grammar, and the checks on its payload alone.
export const kind = (name, grammar, check) => ({ name, grammar, check });

// signedBytes is the Sig_structure that a signature covers, and whose SHA-256 is the statement's id.
export function signedBytes(kindName, realm, payload) {
  const external = Buffer.concat([Buffer.from(`conclave/1\0${kindName}\0`), realm]);
  return encodeArray(encodeText('Signature1'), encodeBytes(protectedHeader(kindName)), encodeBytes(external), encodeBytes(payload));
}

function read(form, kind) {
  must(same(form.header, protectedHeader(kind.name)), 'wrong_kind', `no ${kind.name}`);
  const claim = decode(kind.grammar, form.payload);
  kind.check(claim);
  return claim;
}

// Claimed is a statement that was read and proves nothing yet.
class Claimed {
  constructor(kind, payload, claim, signatures) {
    Object.assign(this, { kind, payload, claim, signatures });
  }

  id(realm) {
    return sha256(signedBytes(this.kind.name, realm, this.payload));
  }

  // verify checks the one signature of a sign1.
  verify(realm, signer) {
    verifySignature(signer, signedBytes(this.kind.name, realm, this.payload), this.signatures[0].signature);
    return this;
  }

  // cosignedBy checks every signature of a cosigned, and that enough are by distinct keys of those trusted.
  cosignedBy(realm, need, trusted) {
    must(need >= 1, 'no_quorum', 'a purpose that needs no signature');
    const message = signedBytes(this.kind.name, realm, this.payload);
    for (const s of this.signatures) verifySignature(s.key, message, s.signature);
    const have = this.signatures.filter((s) => among(s.key, trusted)).length;
    must(BigInt(have) >= BigInt(need), 'no_quorum', `${have} of ${need} signatures`);
    return this;
  }

  get signers() {
    return this.signatures.map((s) => s.key);
  }
}

export function parseSign1(kind, b, limit = MAX_STATEMENT) {
  must(b.length <= limit, 'too_large', 'statement');
  must(b[0] === 0xd2, 'malformed', 'no tagged COSE_Sign1');
  const form = decode(sign1, b.subarray(1));
  must(form.signature.length === 64, 'malformed', 'signature of another length');
  return new Claimed(kind, form.payload, read(form, kind), [{ signature: form.signature }]);
}

export function parseCosigned(kind, b, limit = MAX_STATEMENT) {
  must(b.length <= limit, 'too_large', 'statement');
  const form = decode(cosigned, b);
  must(form.signatures.length <= MAX_COSIGNERS, 'malformed', 'more than 64 signatures');
  form.signatures.forEach((s, i) => {
    must(s.signature.length === 64, 'malformed', 'signature of another length');
    must(i === 0 || Buffer.compare(form.signatures[i - 1].key, s.key) < 0, 'malformed', 'signatures not in order');
  });
  return new Claimed(kind, form.payload, read(form, kind), form.signatures);
}

// --- parts

export const AGENT = 'U', NODE = 'N', OPERATOR = 'O';
export const role = (id) => String.fromCharCode(id[0]);
export const keyOf = (id) => id.subarray(1);

export function checkId(id) {
  must([AGENT, NODE, OPERATOR].includes(role(id)), 'malformed', 'no principal');
  checkKey(keyOf(id));
}

export function checkIds(all, wanted) {
  must(all.length >= 1 && all.length <= 64, 'malformed', '1 to 64 principals');
  all.forEach((one, i) => {
    must(role(one) === wanted, 'malformed', 'principal of another role');
    must(i === 0 || Buffer.compare(all[i - 1], one) < 0, 'malformed', 'principals not in order');
    checkId(one);
  });
}

export function checkThreshold(roots, threshold) {
  checkIds(roots, OPERATOR);
  must(threshold >= 1n && threshold <= BigInt(roots.length), 'malformed', 'threshold');
}

export function checkVersion(version) {
  must(version === 1n, 'version', `version ${version}`);
}

export function checkLife({ issued, expires }, longest) {
  must(issued > 0n && expires > issued && expires - issued <= longest, 'malformed', 'life');
}

export function checkCurrent(issued, expires, now) {
  must(now < expires + SKEW, 'expired', 'its time is over');
  must(issued <= now + SKEW, 'not_yet', 'its time has not begun');
}

const words = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
export const isName = (s) => /^[a-z][a-z0-9-]{0,62}$/.test(s);
export const isCapability = (s) => s.length <= 128 && words.test(s);

export const isPatterns = (all) =>
  all.length <= 64 && ascending(all) && all.every((p) => p === '*' || isCapability(p) || (p.endsWith('.*') && isCapability(p.slice(0, -2))));

export const matches = (pattern, name) =>
  pattern === '*' || pattern === name || (pattern.endsWith('.*') && name.length >= pattern.length && name.startsWith(pattern.slice(0, -1)));

// compareText orders texts by their bytes.
export const compareText = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));

export const ascending = (all) => all.every((s, i) => i === 0 || compareText(all[i - 1], s) < 0);

export function checkAddresses(all) {
  must(all.length >= 1 && all.length <= 16, 'malformed', '1 to 16 addresses');
}

export { refuse };
