import koffi from 'koffi';
import { type Hva, hva } from '../memory/address.ts';
import type { CFunction, CParameter, CResult, FfiBackend } from './backend.ts';

const parameterTypes: Record<CParameter, string> = {
  i32: 'int32_t',
  u32: 'uint32_t',
  i64: 'int64_t',
  u64: 'uint64_t',
  address: 'uint64_t',
  buffer: 'void *',
  cstring: 'const char *',
};
const resultTypes: Record<CResult, string> = { i32: 'int32_t', i64: 'int64_t', void: 'void' };

export function createKoffiBackend(): FfiBackend {
  const libc = koffi.load('libc.so.6');

  // One closure per arity would save the spread, but measured it is within the noise of the call itself.
  function bind(symbol: string, result: CResult, parameters: readonly CParameter[]): CFunction {
    const call = libc.func(
      symbol,
      resultTypes[result],
      parameters.map(parameter => parameterTypes[parameter]),
    ) as any;
    if (result === 'void') return call;
    switch (parameters.length) {
      case 3:
        return (a, b, c) => {
          const value = call(a, b, c);
          return value === -1 ? -koffi.errno() : value;
        };
      default:
        return (...values) => {
          const value = call(...values);
          return value === -1 ? -koffi.errno() : value;
        };
    }
  }

  return {
    name: 'koffi',
    bind,
    bindFrom: (library, symbol, result, parameters): CFunction =>
      koffi.load(library).func(
        symbol,
        resultTypes[result],
        parameters.map(parameter => parameterTypes[parameter]),
      ) as any,
    symbolAddress: (symbol: string): Hva => hva(Number(koffi.address(libc.symbol(symbol)))),
    view: (address: Hva, length: number): ArrayBuffer => koffi.view(BigInt(address), length),
    addressOf: (bytes: Uint8Array): Hva => hva(Number(koffi.address(bytes))),
  };
}
