/** ioctl request numbers, computed as asm-generic/ioctl.h does from direction, type, number and size. */
const KVMIO = 0xae;
const Direction = { none: 0, write: 1, read: 2, readWrite: 3 } as const;

const request = (direction: number, number: number, size: number): number =>
  direction * 2 ** 30 + size * 2 ** 16 + KVMIO * 2 ** 8 + number;

export const io = (number: number): number => request(Direction.none, number, 0);
export const iow = (number: number, { size }: { size: number }): number =>
  request(Direction.write, number, size);
export const ior = (number: number, { size }: { size: number }): number =>
  request(Direction.read, number, size);
export const iowr = (number: number, { size }: { size: number }): number =>
  request(Direction.readWrite, number, size);
