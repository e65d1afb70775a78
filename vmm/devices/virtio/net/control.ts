import { gpaOffset } from '../../../memory/address.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { DescriptorChain } from '../chain.ts';
import { ReceiveMode } from './config.ts';
import type { ReceiveFilter } from './filter.ts';

/** Classes and commands of the control queue (virtio 1.2 section 5.1.6.5). */
const RECEIVE_MODE_CLASS = 0;
const MAC_CLASS = 1;
const MAC_TABLE_SET = 0;
const MAC_ADDR_SET = 1;
const OK = 0;
const ERROR = 1;

/** In the order of their command numbers. */
const modes = [
  ReceiveMode.PROMISC,
  ReceiveMode.ALLMULTI,
  ReceiveMode.ALLUNI,
  ReceiveMode.NOMULTI,
  ReceiveMode.NOUNI,
  ReceiveMode.NOBCAST,
];

/** Class, command and a table of some hundred addresses; a longer command is refused. */
const MAXIMUM_COMMAND_BYTES = 4096;

/** Carries out one command of the driver and writes its acknowledgment; answers the bytes written. */
export function serveControl(chain: DescriptorChain, memory: GuestMemory, filter: ReceiveFilter): number {
  const ack =
    chain.readableBytes <= MAXIMUM_COMMAND_BYTES && execute(gather(chain, memory), filter) ? OK : ERROR;
  for (let i = chain.readableCount; i < chain.count; i++) {
    if (chain.length(i) === 0) continue;
    memory.writeU8(gpaOffset(chain.address(i), 0), ack);
    return 1;
  }
  return 0;
}

function gather(chain: DescriptorChain, memory: GuestMemory): Uint8Array {
  const command = new Uint8Array(chain.readableBytes);
  let at = 0;
  for (let i = 0; i < chain.readableCount; i++) {
    memory.copyOut(chain.address(i), command.subarray(at, at + chain.length(i)));
    at += chain.length(i);
  }
  return command;
}

/** False for what is unknown or malformed: the filter is as before. */
function execute(command: Uint8Array, filter: ReceiveFilter): boolean {
  const [commandClass, number] = command;
  const data = command.subarray(2);
  if (commandClass === RECEIVE_MODE_CLASS) return setMode(filter, number, data);
  if (commandClass !== MAC_CLASS) return false;
  if (number === MAC_TABLE_SET) return setTable(filter, data);
  if (number !== MAC_ADDR_SET || data.length !== 6 || ((data[0] as number) & 1) !== 0) return false;
  filter.mac.set(data);
  return true;
}

function setMode(filter: ReceiveFilter, number: number | undefined, data: Uint8Array): boolean {
  const mode = modes[number ?? modes.length];
  if (mode === undefined || data.length !== 1) return false;
  filter.setMode(mode, data[0] !== 0);
  return true;
}

/** Two tables, unicast and multicast, each a count and that many addresses. */
function setTable(filter: ReceiveFilter, data: Uint8Array): boolean {
  const unicast = table(data);
  if (unicast === undefined) return false;
  const multicast = table(data.subarray(4 + unicast.length));
  if (multicast === undefined) return false;
  filter.setTable(unicast, multicast);
  return true;
}

function table(data: Uint8Array): Uint8Array | undefined {
  if (data.length < 4) return undefined;
  const count = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  return 4 + count * 6 <= data.length ? data.subarray(4, 4 + count * 6) : undefined;
}
