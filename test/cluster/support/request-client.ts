/**
 * A stock client of the bench guest's tcp-server: Node's net module, and the messages of guest-images/bench/net/channel.h.
 * Run as a program it sends requests, checks the answers and prints what it found:
 *
 *   tsx request-client.ts ADDRESS PORT MESSAGES BYTES
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

const MAGIC_REQUEST = 0x51767374;
const MAGIC_RESPONSE = 0x52767374;
const PAYLOAD_STEP = 0x9e3779b97f4a7c15n;
const WORD_BYTES = 8;

export interface ExchangeResult {
  readonly answered: number;
  readonly bytes: number;
}

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

function mix(value: bigint): bigint {
  const once = u64((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n);
  const twice = u64((once ^ (once >> 27n)) * 0x94d049bb133111ebn);
  return twice ^ (twice >> 31n);
}

/** Message number `sequence` of a connection, `bytes` long. */
export function message(magic: number, bytes: number, sequence: bigint, id: bigint): Buffer {
  const buffer = Buffer.alloc(bytes);
  const words = bytes / WORD_BYTES;
  let sum = 0n;
  let sumOfSums = 0n;
  let payload = mix(id ^ mix(sequence) ^ BigInt(magic));
  // The payload runs on under the words of the header too.
  for (let i = 0; i < words; i++) {
    let word = payload;
    if (i < 3) word = [BigInt(magic) | (BigInt(bytes) << 32n), sequence, id][i] as bigint;
    else payload = u64(payload + PAYLOAD_STEP);
    if (i === words - 1) word = mix(sum ^ mix(sumOfSums));
    buffer.writeBigUInt64LE(word, i * WORD_BYTES);
    sum = u64(sum + word);
    sumOfSums = u64(sumOfSums + sum);
  }
  return buffer;
}

/** Sends `count` requests one after the other; rejects at the first answer that is not what it has to be. */
export async function exchange(
  host: string,
  port: number,
  count: number,
  bytes: number,
): Promise<ExchangeResult> {
  const id = randomBytes(8).readBigUInt64LE();
  const socket = connect(port, host);
  let answered = 0;
  let received = Buffer.alloc(0);
  socket.write(message(MAGIC_REQUEST, bytes, 0n, id));
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    while (received.length >= bytes) {
      const expected = message(MAGIC_RESPONSE, bytes, BigInt(answered), id);
      if (!received.subarray(0, bytes).equals(expected)) throw new Error(`answer ${answered} is wrong`);
      received = received.subarray(bytes);
      answered++;
      if (answered < count) socket.write(message(MAGIC_REQUEST, bytes, BigInt(answered), id));
      else socket.end();
    }
  }
  return { answered, bytes: answered * bytes };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host = '', port, count, bytes] = process.argv.slice(2);
  console.log(JSON.stringify(await exchange(host, Number(port), Number(count), Number(bytes))));
}
