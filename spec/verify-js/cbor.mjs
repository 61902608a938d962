// Deterministic CBOR, read by a grammar. Every item has one encoding, so what this reader accepts would encode to the same
// bytes again (wire.md, "Reading", 3): shortest heads, definite lengths, labels in ascending order, no optional label
// with an empty value, no tags, nothing after the item. Integers are BigInt.
import { must, refuse } from './refuse.mjs';

const malformed = (holds, why) => must(holds, 'malformed', why);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const MAX_NESTING = 12;

// BYTES is where a map keeps the bytes it was read from.
export const BYTES = Symbol('bytes');

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(n) {
    malformed(n <= this.bytes.length - this.at, 'bytes end early');
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  // head returns the major type and the argument of the next item.
  head() {
    const first = this.take(1)[0];
    const major = first >> 5, short = first & 31;
    if (short < 24) return [major, BigInt(short)];
    malformed(short <= 27, 'indefinite or reserved length');
    const size = 1 << (short - 24);
    const argument = BigInt('0x' + this.take(size).toString('hex'));
    const least = size === 1 ? 24n : 1n << BigInt(size * 4);
    malformed(argument >= least, 'number longer than needed');
    return [major, argument];
  }

  length(major, what) {
    const [have, n] = this.head();
    malformed(have === major, `${what} expected`);
    malformed(n <= 1n << 30n, `${what} too long`);
    return Number(n);
  }
}

// --- types: functions from a reader to a value

export const uint = (r) => {
  const [major, n] = r.head();
  malformed(major === 0, 'number from 0 expected');
  return n;
};

export const byte = (r) => {
  const n = uint(r);
  malformed(n < 256n, 'number above 255');
  return n;
};

export const int = (r) => {
  const [major, n] = r.head();
  malformed(major <= 1 && n < 1n << 63n, 'integer expected');
  return major === 0 ? n : -1n - n;
};

export const bool = (r) => {
  const b = r.take(1)[0];
  malformed(b === 0xf4 || b === 0xf5, 'true or false expected');
  return b === 0xf5;
};

export const bytes = (size) => (r) => {
  const b = r.take(r.length(2, 'byte string'));
  malformed(size === undefined || b.length === size, `byte string of ${b.length} bytes`);
  return b;
};

function textOf(b) {
  try {
    return utf8.decode(b);
  } catch {
    return refuse('malformed', 'text is not UTF-8');
  }
}

export const text = (r) => textOf(r.take(r.length(3, 'text')));

export const list = (type) => (r) => {
  const n = r.length(4, 'array');
  malformed(n <= r.bytes.length, 'array longer than the bytes');
  return Array.from({ length: n }, () => type(r));
};

// tuple is an array of fixed length: fields are [name, type].
export const tuple = (...fields) => (r) => {
  malformed(r.length(4, 'array') === fields.length, `array of ${fields.length} expected`);
  return Object.fromEntries(fields.map(([name, type]) => [name, type(r)]));
};

const empty = (v) => v === 0n || v === '' || v === false || ((Array.isArray(v) || Buffer.isBuffer(v)) && v.length === 0);

// map has integer labels: fields are [label, name, type], in ascending order; optional ones begin with "?". What is absent
// has the value of its type's absence: undefined.
export const map = (...fields) => (r) => {
  const start = r.at, pairs = r.length(5, 'map'), out = {};
  let i = 0;
  for (let n = 0; n < pairs; n++) {
    const label = uint(r);
    while (i < fields.length && BigInt(fields[i][0]) < label && fields[i][1].startsWith('?')) i++;
    malformed(i < fields.length && BigInt(fields[i][0]) === label, `label ${label} is not the next`);
    const [, name, type] = fields[i++];
    const value = type(r);
    malformed(!name.startsWith('?') || !empty(value), `${name} without a value`);
    out[name.replace('?', '')] = value;
  }
  malformed(fields.slice(i).every(([, name]) => name.startsWith('?')), 'labels missing');
  out[BYTES] = r.bytes.subarray(start, r.at);
  return out;
};

// raw is the bytes of one item of any type.
export const raw = (r) => {
  const start = r.at;
  skip(r, 1);
  return r.bytes.subarray(start, r.at);
};

function skip(r, depth) {
  malformed(depth <= MAX_NESTING, 'nested too deep');
  const [major, n] = r.head();
  if (major === 2) r.take(Number(n));
  else if (major === 3) textOf(r.take(Number(n)));
  else if (major === 4) for (let i = 0n; i < n; i++) skip(r, depth + 1);
  else if (major === 5) skipMap(r, n, depth);
  else malformed(major < 2 || (major === 7 && (n === 20n || n === 21n)), 'tag, float or simple value');
}

function skipMap(r, pairs, depth) {
  let before = Buffer.alloc(0);
  for (let i = 0n; i < pairs; i++) {
    const start = r.at;
    skip(r, depth + 1);
    const key = r.bytes.subarray(start, r.at);
    malformed(i === 0n || Buffer.compare(before, key) < 0, 'labels not ascending');
    before = key;
    skip(r, depth + 1);
  }
}

// decode reads exactly one item.
export function decode(type, b) {
  const r = new Reader(b);
  const value = type(r);
  malformed(r.at === b.length, 'bytes after the item');
  return value;
}

// given refuses an optional digest or id that is there and all zeros.
export const given = (type) => (r) => {
  const b = type(r);
  malformed(b.some((x) => x !== 0), 'zeros in place of nothing');
  return b;
};

// --- what this verifier writes: what is signed or hashed and was not read as it stands

function head(major, n) {
  const size = [1n << 8n, 1n << 16n, 1n << 32n].findIndex((limit) => BigInt(n) < limit);
  if (n < 24) return Buffer.from([(major << 5) | Number(n)]);
  const width = size < 0 ? 8 : 1 << size;
  return Buffer.concat([Buffer.from([(major << 5) | (24 + Math.log2(width))]), Buffer.from(BigInt(n).toString(16).padStart(2 * width, '0'), 'hex')]);
}

export const encodeBytes = (b) => Buffer.concat([head(2, b.length), b]);
export const encodeText = (s) => Buffer.concat([head(3, Buffer.byteLength(s)), Buffer.from(s)]);
export const encodeArray = (...items) => Buffer.concat([head(4, items.length), ...items]);
export const encodeUint = (n) => head(0, n);
export const encodeInt = (n) => (n < 0n ? head(1, -1n - n) : head(0, n));
export const encodeBool = (b) => Buffer.from([b ? 0xf5 : 0xf4]);
export const encodeList = (items) => encodeArray(...items);

// encodeMap writes pairs of a label and an encoded value, in ascending order; those without a value are left out.
export function encodeMap(...pairs) {
  const there = pairs.filter(([, value]) => value !== undefined);
  return Buffer.concat([head(5, there.length), ...there.flatMap(([label, value]) => [head(0, label), value])]);
}
