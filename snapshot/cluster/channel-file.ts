/**
 * channel.bin, the recorded frames of one snapshot. Little-endian throughout:
 *
 *   0   8  magic "TSVMCHAN"
 *   8   4  version, 1
 *   12  4  epoch of the snapshot
 *   16  4  number of ports, P
 *   20  4  number of frames, F
 *   24  -  P ports:  u8 length, name "vm/nic" in ASCII
 *       -  F frames: u32 length, u16 sender, u16 receiver (port numbers), u32 marker, then `length` bytes
 *   end 32 SHA-256 of all bytes before
 *
 * Ports are numbered in the order in which the frames name them first, sender before receiver, so that one recording
 * has exactly one encoding. The digest finds accidents; against malice every field is checked as well.
 */
import { createHash } from 'node:crypto';
import { TsvmmError } from '../../vmm/errors.ts';
import {
  type ChannelState,
  MAXIMUM_CHANNEL_BYTES,
  MAXIMUM_FRAME_COUNT,
  MAXIMUM_PORT_COUNT,
  MAXIMUM_RECORD_BYTES,
  MINIMUM_RECORD_BYTES,
  type RecordedFrame,
} from './channel.ts';
import { MAXIMUM_EPOCH } from './filter.ts';
import type { PortName } from './protocol.ts';

const MAGIC = Buffer.from('TSVMCHAN', 'ascii');
const VERSION = 1;
const HEADER_BYTES = 24;
const FRAME_HEADER_BYTES = 12;
const DIGEST_BYTES = 32;
const MAXIMUM_NAME_BYTES = 127;
const PORT_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;
/** A reader may refuse a larger file unread. */
export const MAXIMUM_CHANNEL_FILE_BYTES =
  HEADER_BYTES +
  MAXIMUM_PORT_COUNT * (1 + MAXIMUM_NAME_BYTES) +
  MAXIMUM_FRAME_COUNT * FRAME_HEADER_BYTES +
  MAXIMUM_CHANNEL_BYTES +
  DIGEST_BYTES;

/** What the manifest says of the snapshot a channel belongs to. */
export interface ExpectedChannel {
  readonly epoch: number;
  /** The ports of the snapshot's VMs. */
  readonly ports: ReadonlySet<PortName>;
}

/** The file's bytes. Throws TSVMM_E_INTERNAL for a channel that decodeChannel() would refuse. */
export function encodeChannel({ epoch, frames }: ChannelState): Uint8Array {
  const ports = numberPorts(frames);
  const payload_bytes = frames.reduce((sum, frame) => sum + FRAME_HEADER_BYTES + frame.bytes.length, 0);
  const names_bytes = [...ports.keys()].reduce((sum, name) => sum + 1 + name.length, 0);
  const file = Buffer.alloc(HEADER_BYTES + names_bytes + payload_bytes + DIGEST_BYTES);
  MAGIC.copy(file);
  file.writeUInt32LE(VERSION, 8);
  file.writeUInt32LE(epoch, 12);
  file.writeUInt32LE(ports.size, 16);
  file.writeUInt32LE(frames.length, 20);
  let at = HEADER_BYTES;
  for (const name of ports.keys()) {
    at = file.writeUInt8(name.length, at);
    at += file.write(name, at, 'ascii');
  }
  for (const frame of frames) {
    at = file.writeUInt32LE(frame.bytes.length, at);
    at = file.writeUInt16LE(ports.get(frame.sender) as number, at);
    at = file.writeUInt16LE(ports.get(frame.receiver) as number, at);
    at = file.writeUInt32LE(frame.epoch, at);
    file.set(frame.bytes, at);
    at += frame.bytes.length;
  }
  createHash('sha256').update(file.subarray(0, at)).digest().copy(file, at);
  assertReadable(file, { epoch, ports: new Set(ports.keys()) });
  return file;
}

/**
 * The channel in a file's bytes; the frames are views of them. Throws TSVMM_E_SNAPSHOT_CORRUPT for anything that
 * encodeChannel() would not have written for a snapshot as `expected`.
 */
export function decodeChannel(bytes: Uint8Array, expected: ExpectedChannel): ChannelState {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < HEADER_BYTES + DIGEST_BYTES) throw corrupt(`it has ${file.length} bytes only`);
  if (file.length > MAXIMUM_CHANNEL_FILE_BYTES) throw corrupt(`it has ${file.length} bytes`);
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt('it does not begin as one');
  const version = file.readUInt32LE(8);
  if (version !== VERSION) throw corrupt(`it has version ${version}, and only ${VERSION} is known`);
  const end = file.length - DIGEST_BYTES;
  const digest = createHash('sha256').update(file.subarray(0, end)).digest();
  if (!digest.equals(file.subarray(end))) throw corrupt('its checksum is wrong');
  const epoch = file.readUInt32LE(12);
  if (epoch !== expected.epoch || epoch < 1 || epoch > MAXIMUM_EPOCH) {
    throw corrupt(`it is of epoch ${epoch}, the snapshot of ${expected.epoch}`);
  }
  const body = new BodyReader(file.subarray(0, end), epoch, expected.ports);
  return { epoch, frames: body.read(file.readUInt32LE(16), file.readUInt32LE(20)) };
}

function numberPorts(frames: readonly RecordedFrame[]): Map<PortName, number> {
  const ports = new Map<PortName, number>();
  for (const { sender, receiver } of frames) {
    if (!ports.has(sender)) ports.set(sender, ports.size);
    if (!ports.has(receiver)) ports.set(receiver, ports.size);
  }
  return ports;
}

/** Walks the checked file once; every read is bounded by its end. */
class BodyReader {
  private readonly body: Buffer;
  private readonly epoch: number;
  private readonly known: ReadonlySet<PortName>;
  private readonly ports: PortName[] = [];
  private namedPorts = 0;
  private at = HEADER_BYTES;

  constructor(body: Buffer, epoch: number, known: ReadonlySet<PortName>) {
    this.body = body;
    this.epoch = epoch;
    this.known = known;
  }

  read(portCount: number, frameCount: number): RecordedFrame[] {
    if (portCount > MAXIMUM_PORT_COUNT) throw corrupt(`it names ${portCount} ports`);
    if (frameCount > MAXIMUM_FRAME_COUNT) throw corrupt(`it claims ${frameCount} frames`);
    for (let port = 0; port < portCount; port++) this.ports.push(this.readPort());
    const frames: RecordedFrame[] = [];
    for (let frame = 0; frame < frameCount; frame++) frames.push(this.readFrame());
    if (this.namedPorts !== portCount) throw corrupt('it names a port that no frame uses');
    if (this.at !== this.body.length)
      throw corrupt(`${this.body.length - this.at} bytes follow its last frame`);
    return frames;
  }

  private readPort(): PortName {
    const length = this.take(1).readUInt8();
    const name = this.take(length).toString('latin1');
    if (length > MAXIMUM_NAME_BYTES || !PORT_NAME.test(name)) throw corrupt('a port name is malformed');
    if (!this.known.has(name)) throw corrupt(`its port "${name}" is not in the snapshot`);
    if (this.ports.includes(name)) throw corrupt(`it names port "${name}" twice`);
    return name;
  }

  private readFrame(): RecordedFrame {
    const header = this.take(FRAME_HEADER_BYTES);
    const length = header.readUInt32LE(0);
    const sender = this.port(header.readUInt16LE(4));
    const receiver = this.port(header.readUInt16LE(6));
    const epoch = header.readUInt32LE(8);
    if (length < MINIMUM_RECORD_BYTES || length > MAXIMUM_RECORD_BYTES)
      throw corrupt(`a frame of ${length} bytes`);
    if (sender === receiver) throw corrupt(`a frame from "${sender}" to itself`);
    if (epoch >= this.epoch) throw corrupt(`a frame of epoch ${epoch}, which is not before the cut`);
    return { sender, receiver, epoch, bytes: this.take(length) };
  }

  private port(index: number): PortName {
    const name = this.ports[index];
    if (name === undefined || index > this.namedPorts) throw corrupt(`port ${index} is out of place`);
    if (index === this.namedPorts) this.namedPorts++;
    return name;
  }

  private take(length: number): Buffer {
    if (length > this.body.length - this.at) throw corrupt('it ends too early');
    const bytes = this.body.subarray(this.at, this.at + length);
    this.at += length;
    return bytes;
  }
}

/** Paired with the reader: what we write we can read, or it is a defect of ours, found while the cluster still runs. */
function assertReadable(file: Uint8Array, expected: ExpectedChannel): void {
  try {
    decodeChannel(file, expected);
  } catch (error) {
    throw new TsvmmError('TSVMM_E_INTERNAL', 'the recorded frames cannot be written', { cause: error });
  }
}

const corrupt = (what: string) =>
  new TsvmmError('TSVMM_E_SNAPSHOT_CORRUPT', `the recorded frames (channel.bin) are damaged: ${what}`, {
    hint: 'check the snapshot with `tsvmm snap verify`',
  });
