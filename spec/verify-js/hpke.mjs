// What an envelope's body is sealed by (envelope.md, "Body"): HPKE (RFC 9180) in base mode with the KEM MLKEM768-X25519,
// HKDF-SHA256 and AES-256-GCM. It only opens.
import { createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { decapsulate, keyFrom } from './mlkem.mjs';
import { refuse } from './refuse.mjs';

export const ENCAPSULATED = 1120; // bytes: 1,088 of ML-KEM and 32 of X25519
const KEM = 0x647a, KDF = 1, AEAD = 2;
const LABEL = Buffer.from('\\.//^\\');
const EMPTY = Buffer.alloc(0);

const uint16 = (n) => Buffer.from([n >> 8, n & 255]);
const suite = Buffer.concat([Buffer.from('HPKE'), uint16(KEM), uint16(KDF), uint16(AEAD)]);

// --- RFC 5869

const extract = (salt, secret) => createHmac('sha256', salt.length ? salt : Buffer.alloc(32)).update(secret).digest();

// expand is HKDF-Expand with SHA-256.
export function expand(key, info, length) {
  let out = EMPTY, block = EMPTY;
  for (let i = 1; out.length < length; i++) {
    block = createHmac('sha256', key).update(Buffer.concat([block, info, Buffer.from([i])])).digest();
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, length);
}

const labelled = (label, b) => Buffer.concat([Buffer.from('HPKE-v1'), suite, Buffer.from(label), b]);
const labelledExtract = (salt, label, secret) => extract(salt, labelled(label, secret));
const labelledExpand = (key, label, info, length) => expand(key, Buffer.concat([uint16(length), labelled(label, info)]), length);

// --- the KEM

const PRIVATE = Buffer.from('302e020100300506032b656e04220420', 'hex'), PUBLIC = Buffer.from('302a300506032b656e032100', 'hex');
const privateKey = (raw) => createPrivateKey({ key: Buffer.concat([PRIVATE, raw]), format: 'der', type: 'pkcs8' });
const publicKey = (raw) => createPublicKey({ key: Buffer.concat([PUBLIC, raw]), format: 'der', type: 'spki' });

const keys = new Map();

// sealingKey expands a private key of 32 bytes to the keys of both parts.
function sealingKey(seed) {
  const name = seed.toString('hex');
  if (!keys.has(name)) {
    const b = createHash('shake256', { outputLength: 96 }).update(seed).digest(), x = privateKey(b.subarray(64));
    const point = createPublicKey(x).export({ format: 'der', type: 'spki' }).subarray(PUBLIC.length);
    keys.set(name, { lattice: keyFrom(b.subarray(0, 64)), x, point });
  }
  return keys.get(name);
}

function sharedSecret(seed, enc) {
  const own = sealingKey(seed), sent = enc.subarray(1088);
  const x = diffieHellman({ privateKey: own.x, publicKey: publicKey(sent) });
  return createHash('sha3-256').update(Buffer.concat([decapsulate(own.lattice, enc.subarray(0, 1088)), x, sent, own.point, LABEL])).digest();
}

// --- opening

// openAead opens AES-256-GCM whose tag of 16 bytes stands at the end.
export function openAead(key, nonce, sealed) {
  const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  cipher.setAuthTag(sealed.subarray(-16));
  try {
    return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  } catch {
    return refuse('malformed', 'the body does not open');
  }
}

// open returns the plaintext, and a function that exports a secret of 32 bytes for a context.
export function open(seed, enc, info, sealed) {
  const context = Buffer.concat([Buffer.from([0]), labelledExtract(EMPTY, 'psk_id_hash', EMPTY), labelledExtract(EMPTY, 'info_hash', info)]);
  const secret = labelledExtract(shared(seed, enc), 'secret', EMPTY);
  const plain = openAead(labelledExpand(secret, 'key', context, 32), labelledExpand(secret, 'base_nonce', context, 12), sealed);
  const exporter = labelledExpand(secret, 'exp', context, 32);
  return { plain, exported: (text) => labelledExpand(exporter, 'sec', Buffer.from(text), 32) };
}

// shared is the secret, or a refusal where the sender's point is none.
function shared(seed, enc) {
  try {
    return sharedSecret(seed, enc);
  } catch {
    return refuse('malformed', 'no encapsulated key');
  }
}
