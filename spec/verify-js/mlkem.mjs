// ML-KEM-768 (FIPS 203): key generation from a seed and decapsulation, which Node 20 does not have. For checking vectors
// only: it is not constant-time, so it MUST NOT touch a key that anybody relies on. Numbers in brackets are algorithms there.
import { createHash } from 'node:crypto';

const Q = 3329, N = 256, K = 3, ETA = 2, DU = 10, DV = 4;
const CIPHERTEXT = 32 * (DU * K + DV); // 1,088 bytes

const hash = (name, outputLength) => (...parts) =>
  createHash(name, outputLength ? { outputLength } : undefined).update(Buffer.concat(parts)).digest();
const H = hash('sha3-256'), G = hash('sha3-512'), J = hash('shake256', 32), PRF = hash('shake256', 64 * ETA);
const XOF = hash('shake128', 3 * 1024); // far more than rejection sampling needs
const half = (b) => [b.subarray(0, 32), b.subarray(32)];
const byte = (n) => Buffer.from([n]);

// --- numbers modulo q, and the transform

const mod = (n) => ((n % Q) + Q) % Q;

function power(exponent) {
  let out = 1;
  for (let i = 0; i < exponent; i++) out = (out * 17) % Q;
  return out;
}

const reverse7 = (n) => parseInt(n.toString(2).padStart(7, '0').split('').reverse().join(''), 2);
const ZETAS = Array.from({ length: 128 }, (_, i) => power(reverse7(i)));
const GAMMAS = Array.from({ length: 128 }, (_, i) => power(2 * reverse7(i) + 1));

function ntt(f) { // [9]
  const out = [...f];
  for (let length = 128, i = 1; length >= 2; length /= 2) {
    for (let start = 0; start < N; start += 2 * length, i++) {
      for (let j = start; j < start + length; j++) {
        const t = ZETAS[i] * out[j + length];
        [out[j], out[j + length]] = [mod(out[j] + t), mod(out[j] - t)];
      }
    }
  }
  return out;
}

function inverseNtt(f) { // [10]
  const out = [...f];
  for (let length = 2, i = 127; length <= 128; length *= 2) {
    for (let start = 0; start < N; start += 2 * length, i--) {
      for (let j = start; j < start + length; j++) {
        const t = out[j];
        [out[j], out[j + length]] = [mod(t + out[j + length]), mod(ZETAS[i] * (out[j + length] - t))];
      }
    }
  }
  return out.map((n) => mod(n * 3303));
}

function multiply(f, g) { // [11], [12]
  const out = [];
  for (let i = 0; i < 128; i++) {
    const [a0, a1, b0, b1] = [f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]];
    out.push(mod(a0 * b0 + mod(a1 * b1) * GAMMAS[i]), mod(a0 * b1 + a1 * b0));
  }
  return out;
}

const zeroes = () => new Array(N).fill(0);
const plus = (f, g) => f.map((n, i) => mod(n + g[i]));
const minus = (f, g) => f.map((n, i) => mod(n - g[i]));
const dot = (u, v) => u.reduce((sum, f, i) => plus(sum, multiply(f, v[i])), zeroes());

// --- bytes

function encode(f, d) { // [5]
  const out = Buffer.alloc(32 * d);
  f.forEach((n, i) => {
    for (let bit = 0; bit < d; bit++) if ((n >> bit) & 1) out[(i * d + bit) >> 3] |= 1 << ((i * d + bit) & 7);
  });
  return out;
}

function decode(b, d) { // [6]
  const bit = (i) => (b[i >> 3] >> (i & 7)) & 1;
  return Array.from({ length: N }, (_, i) => {
    let n = 0;
    for (let j = 0; j < d; j++) n |= bit(i * d + j) << j;
    return d === 12 ? n % Q : n;
  });
}

const compress = (f, d) => f.map((n) => Math.floor(((n << d) * 2 + Q) / (2 * Q)) % (1 << d));
const decompress = (f, d) => f.map((n) => (n * Q + (1 << (d - 1))) >> d);
const pieces = (b, size) => Array.from({ length: b.length / size }, (_, i) => b.subarray(i * size, (i + 1) * size));

// --- sampling

function sampleNtt(rho, j, i) { // [7]
  const stream = XOF(rho, byte(j), byte(i)), out = [];
  for (let at = 0; out.length < N; at += 3) {
    const [a, b, c] = stream.subarray(at, at + 3);
    for (const n of [a + 256 * (b & 15), (b >> 4) + 16 * c]) if (n < Q && out.length < N) out.push(n);
  }
  return out;
}

function samplePoly(seed, n) { // [8]
  const b = PRF(seed, byte(n)), bit = (i) => (b[i >> 3] >> (i & 7)) & 1;
  return Array.from({ length: N }, (_, i) => mod(bit(4 * i) + bit(4 * i + 1) - bit(4 * i + 2) - bit(4 * i + 3)));
}

const samples = (seed, from) => Array.from({ length: K }, (_, i) => samplePoly(seed, from + i));
const matrix = (rho, at) => Array.from({ length: K }, (_, i) => Array.from({ length: K }, (_, j) => at(rho, i, j)));

// --- K-PKE and ML-KEM

function encrypt({ t, rho }, message, coins) { // [14]
  const y = samples(coins, 0).map(ntt), e1 = samples(coins, K), e2 = samplePoly(coins, 2 * K);
  const transposed = matrix(rho, (seed, i, j) => sampleNtt(seed, i, j));
  const u = transposed.map((row, i) => plus(inverseNtt(dot(row, y)), e1[i]));
  const v = plus(plus(inverseNtt(dot(t, y)), e2), decompress(decode(message, 1), 1));
  return Buffer.concat([...u.map((f) => encode(compress(f, DU), DU)), encode(compress(v, DV), DV)]);
}

function decrypt(s, ciphertext) { // [15]
  const u = pieces(ciphertext.subarray(0, 32 * DU * K), 32 * DU).map((b) => decompress(decode(b, DU), DU));
  const v = decompress(decode(ciphertext.subarray(32 * DU * K), DV), DV);
  return encode(compress(minus(v, inverseNtt(dot(s, u.map(ntt)))), 1), 1);
}

// keyFrom makes the key of a seed of 64 bytes, d and z [13, 16].
export function keyFrom(seed) {
  const [d, z] = half(seed), [rho, sigma] = half(G(d, byte(K)));
  const s = samples(sigma, 0).map(ntt), e = samples(sigma, K).map(ntt);
  const t = matrix(rho, (from, i, j) => sampleNtt(from, j, i)).map((row, i) => plus(dot(row, s), e[i]));
  const encapsulation = Buffer.concat([...t.map((f) => encode(f, 12)), rho]);
  return { s, t, rho, z, encapsulation, digest: H(encapsulation) };
}

// decapsulate returns the shared secret; of a ciphertext that nobody made for the key, one that nobody knows [18].
export function decapsulate(key, ciphertext) {
  if (ciphertext.length !== CIPHERTEXT) throw new RangeError(`ciphertext of ${ciphertext.length} bytes`);
  const message = decrypt(key.s, ciphertext), [secret, coins] = half(G(message, key.digest));
  return encrypt(key, message, coins).equals(ciphertext) ? secret : J(key.z, ciphertext);
}

// encapsulate is for tests: it makes the ciphertext of a message of 32 bytes [17].
export function encapsulate(key, message) {
  const [secret, coins] = half(G(message, key.digest));
  return { secret, ciphertext: encrypt(key, message, coins) };
}
