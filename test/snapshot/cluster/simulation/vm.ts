import { mix } from './random.ts';
import { Violation } from './violation.ts';

/**
 * A VM as a deterministic automaton: its next state depends on its state, what it receives and the clock. What it
 * says depends on all it has heard, as with real programs, so that two histories that differ anywhere soon say
 * different things. Conversations are reliable streams with cumulative acknowledgements, TCP in small.
 */
export interface Conversation {
  readonly peer: number;
  readonly nic: number;
  sent: number;
  sentDigest: number;
  acked: number;
  unacked: number[];
  expected: number;
  receivedDigest: number;
}

/** `seq` is -1 in a mere acknowledgement. */
export interface Talk {
  readonly kind: 'talk';
  readonly from: number;
  readonly to: number;
  readonly seq: number;
  readonly value: number;
  readonly ack: number;
}
/** A broadcast: nobody acknowledges it. */
export interface Gossip {
  readonly kind: 'gossip';
  readonly from: number;
  readonly nic: number;
  readonly seq: number;
  readonly value: number;
}
/** From or to the world outside of the cluster. */
export interface Foreign {
  readonly kind: 'foreign';
  readonly value: number;
}
export type Body = Talk | Gossip | Foreign;

export interface VmState {
  hash: number;
  readonly conversations: Conversation[];
  /** Broadcasts sent on each NIC, and the next one expected from each sender and NIC; undefined: none heard yet. */
  readonly gossipSent: number[];
  readonly gossipExpected: (number | undefined)[][];
  /** The tx rings: what the driver has made available and the switch has not taken yet. */
  readonly tx: Body[][];
}

export function newVmState(index: number, nicCount: number, peers: { peer: number; nic: number }[]): VmState {
  return {
    hash: mix(1, index),
    conversations: peers.map(({ peer, nic }) => ({
      peer,
      nic,
      sent: 0,
      sentDigest: 1,
      acked: 0,
      unacked: [],
      expected: 0,
      receivedDigest: 1,
    })),
    gossipSent: Array.from({ length: nicCount }, () => 0),
    gossipExpected: Array.from({ length: nicCount }, () => []),
    tx: Array.from({ length: nicCount }, () => []),
  };
}

export function copyVmState(state: VmState): VmState {
  return {
    hash: state.hash,
    conversations: state.conversations.map(talk => ({ ...talk, unacked: [...talk.unacked] })),
    gossipSent: [...state.gossipSent],
    gossipExpected: state.gossipExpected.map(senders => [...senders]),
    tx: state.tx.map(ring => [...ring]),
  };
}

/** Says something new in the conversation, into the tx ring. */
export function say(state: VmState, index: number, conversation: Conversation, clock_us: number): void {
  const value = mix(mix(state.hash, conversation.sent), clock_us);
  state.hash = mix(state.hash, value);
  conversation.unacked.push(value);
  conversation.sentDigest = mix(conversation.sentDigest, value);
  transmit(state, index, conversation, conversation.sent++, value);
}

export function gossip(state: VmState, index: number, nic: number, clock_us: number): void {
  const seq = state.gossipSent[nic] as number;
  state.gossipSent[nic] = seq + 1;
  state.tx[nic]?.push({ kind: 'gossip', from: index, nic, seq, value: mix(state.hash, clock_us) });
}

/** Says again what has not been acknowledged, the oldest first. */
export function retransmit(state: VmState, index: number, isReachable: (peer: number) => boolean): void {
  for (const conversation of state.conversations) {
    if (!isReachable(conversation.peer)) continue;
    conversation.unacked.slice(0, 4).forEach((value, offset) => {
      transmit(state, index, conversation, conversation.acked + offset, value);
    });
  }
}

/** `isStrict`: the network neither loses nor reorders, so anything unexpected is the snapshot's doing. */
export function receive(state: VmState, index: number, nic: number, body: Body, isStrict: boolean): void {
  if (body.kind === 'talk') receiveTalk(state, index, body, isStrict);
  else if (body.kind === 'gossip') receiveGossip(state, index, nic, body, isStrict);
  else state.hash = mix(state.hash, body.value);
}

function receiveTalk(state: VmState, index: number, talk: Talk, isStrict: boolean): void {
  const conversation = state.conversations.find(({ peer }) => peer === talk.from);
  if (conversation === undefined || talk.to !== index) throw new Violation('a frame reached the wrong VM');
  if (talk.ack > conversation.sent) {
    throw new Violation(
      `vm${talk.from} acknowledges ${talk.ack} of ${conversation.sent} ever sent by vm${index}`,
    );
  }
  if (talk.ack > conversation.acked) {
    conversation.unacked.splice(0, talk.ack - conversation.acked);
    conversation.acked = talk.ack;
  }
  if (talk.seq < 0) return;
  if (talk.seq === conversation.expected) {
    conversation.expected++;
    conversation.receivedDigest = mix(conversation.receivedDigest, talk.value);
    state.hash = mix(state.hash, talk.value);
  } else if (isStrict) {
    throw new Violation(`vm${index} expects ${conversation.expected} of vm${talk.from} and gets ${talk.seq}`);
  }
  if (!isStrict) transmit(state, index, conversation, -1, 0);
}

function receiveGossip(state: VmState, index: number, nic: number, news: Gossip, isStrict: boolean): void {
  const senders = state.gossipExpected[nic] as (number | undefined)[];
  const expected = senders[news.from];
  if (isStrict && expected !== undefined && expected !== news.seq) {
    throw new Violation(`vm${index} expects broadcast ${expected} of vm${news.from} and gets ${news.seq}`);
  }
  senders[news.from] = news.seq + 1;
  state.hash = mix(state.hash, news.value);
}

function transmit(
  state: VmState,
  index: number,
  conversation: Conversation,
  seq: number,
  value: number,
): void {
  const { peer, expected, nic } = conversation;
  state.tx[nic]?.push({ kind: 'talk', from: index, to: peer, seq, value, ack: expected });
}
