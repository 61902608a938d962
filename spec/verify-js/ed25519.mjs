// Ed25519 as wire.md says ("Signatures"). Node verifies; this file makes the checks on keys and on R that it does not.
import { createPublicKey, verify as nodeVerify } from 'node:crypto';
import { must } from './refuse.mjs';

const P = (1n << 255n) - 19n;
const L = (1n << 252n) + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const ROOT = 19681161376707505956807079304988542015446066515923890162744021073123829784752n; // of -1

const mod = (n) => ((n % P) + P) % P;

function power(base, exponent) {
  let out = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) out = (out * b) % P;
  return out;
}

function yOf(b) {
  return BigInt('0x' + Buffer.from(b).reverse().toString('hex')) & ((1n << 255n) - 1n);
}

const canonical = (b) => yOf(b) < P;

// The y coordinates of the eight points of small order: those of order 1, 2 and 4 have 1, -1 and 0; those of order 8 solve
// D·y⁴ + 2·y² − 1 = 0.
const SMALL = (() => {
  const inverse = power(D, P - 2n);
  const ys = new Set([0n, 1n, P - 1n]);
  const root = squareRoot(mod(1n + D));
  for (const sign of [root, P - root]) {
    const y = squareRoot(mod((sign - 1n) * inverse));
    if (y !== undefined) ys.add(y).add(mod(-y));
  }
  return ys;
})();

const small = (b) => SMALL.has(mod(yOf(b)));

function squareRoot(n) {
  let r = power(n, (P + 3n) / 8n);
  if (mod(r * r - n) !== 0n) r = mod(r * ROOT);
  return mod(r * r - n) === 0n ? r : undefined;
}

// point returns the key in extended coordinates (RFC 8032, 5.1.3), or undefined if it is none of the curve.
function point(b) {
  const y = yOf(b), sign = BigInt(b[31] >> 7);
  const x2 = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = squareRoot(x2);
  if (x === undefined || (x === 0n && sign === 1n)) return undefined;
  if ((x & 1n) !== sign) x = mod(-x);
  return [x, y, 1n, mod(x * y)];
}

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2)), b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2), d = mod(2n * z1 * z2);
  const e = b - a, f = d - c, g = d + c, h = b + a;
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function primeOrder(b) {
  let out = [0n, 1n, 1n, 0n];
  for (let q = point(b), n = L; n > 0n; n >>= 1n, q = add(q, q)) if (n & 1n) out = add(out, q);
  return out[0] === 0n && mod(out[1] - out[2]) === 0n;
}

const sound = new Set();

// checkKey refuses keys that may not be introduced.
export function checkKey(key) {
  const name = key.toString('hex');
  if (sound.has(name)) return;
  must(canonical(key), 'bad_key', 'key is not canonical');
  must(point(key), 'bad_key', 'key is no point of the curve');
  must(!small(key), 'bad_key', 'key is of small order');
  must(primeOrder(key), 'bad_key', 'key is not of prime order');
  sound.add(name);
}

const DER = Buffer.from('302a300506032b6570032100', 'hex');

// verifySignature refuses what wire.md refuses.
export function verifySignature(key, message, signature) {
  must(canonical(key) && !small(key), 'bad_key', 'signer is not canonical or of small order');
  const r = signature.subarray(0, 32);
  must(canonical(r) && !small(r), 'bad_signature', 'R is not canonical or of small order');
  let holds = false;
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([DER, key]), format: 'der', type: 'spki' });
    holds = nodeVerify(null, message, publicKey, signature);
  } catch {
    holds = false; // a key that is no point of the curve
  }
  must(holds, 'bad_signature', 'signature does not verify');
}
