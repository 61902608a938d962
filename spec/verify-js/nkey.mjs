// A principal's name as text: an nkey, which is base32 of a prefix byte, the inception key and a CRC-16 (wire.md, "Parts").
import { must } from './refuse.mjs';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

// principal reads an nkey into the 33 bytes of a principal id.
export function principal(nkey) {
  const bits = [...nkey].map((c) => ALPHABET.indexOf(c).toString(2).padStart(5, '0')).join('');
  const raw = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  must(raw.length === 35 && crc16(raw.subarray(0, 33)) === raw.readUInt16LE(33), 'malformed', 'no nkey');
  return Buffer.concat([Buffer.from(nkey[0]), raw.subarray(1, 33)]);
}

// nkey writes a principal id: the prefix byte is the letter's number in five bits, and three zeros.
export function nkey(id) {
  const raw = Buffer.concat([Buffer.from([ALPHABET.indexOf(String.fromCharCode(id[0])) << 3]), id.subarray(1), Buffer.alloc(2)]);
  raw.writeUInt16LE(crc16(raw.subarray(0, 33)), 33);
  const bits = [...raw].map((b) => b.toString(2).padStart(8, '0')).join('');
  return bits.match(/.{5}/g).map((five) => ALPHABET[parseInt(five, 2)]).join('');
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
