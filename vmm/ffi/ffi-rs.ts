import ffi from 'ffi-rs';
import { type Hva, hva } from '../memory/address.ts';
import type { CFunction, CParameter, CResult, FfiBackend } from './backend.ts';

const LIBC = 'libc';
const { DataType } = ffi;

const parameterTypes: Record<CParameter, number> = {
  i32: DataType.I32,
  u32: DataType.U32,
  i64: DataType.I64,
  u64: DataType.U64,
  address: DataType.U64,
  buffer: DataType.U8Array,
  cstring: DataType.String,
};
const resultTypes: Record<CResult, number> = { i32: DataType.I32, i64: DataType.I64, void: DataType.Void };

/** ffi-rs takes bytes as Buffers only; a Buffer over the same memory costs no copy. */
function toArgument(value: number | string | Uint8Array): number | string | Buffer {
  if (!(value instanceof Uint8Array) || Buffer.isBuffer(value)) return value as number | string;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

export function createFfiRsBackend(): FfiBackend {
  ffi.open({ library: LIBC, path: 'libc.so.6' });

  const signatureOf = (
    library: string,
    symbol: string,
    result: CResult,
    parameters: readonly CParameter[],
  ) => ({
    library,
    funcName: symbol,
    retType: resultTypes[result],
    paramsType: parameters.map(parameter => parameterTypes[parameter]),
  });

  function bind(symbol: string, result: CResult, parameters: readonly CParameter[]): CFunction {
    const signature = { ...signatureOf(LIBC, symbol, result, parameters), errno: true } as const;
    return (...values) => {
      const { value, errnoCode } = ffi.load({
        ...signature,
        paramsValue: values.map(toArgument),
      } as any) as any;
      return value === -1 ? -errnoCode : value;
    };
  }

  function bindFrom(
    library: string,
    symbol: string,
    result: CResult,
    parameters: readonly CParameter[],
  ): CFunction {
    ffi.open({ library, path: library });
    const signature = signatureOf(library, symbol, result, parameters);
    return (...values) => ffi.load({ ...signature, paramsValue: values.map(toArgument) } as any) as any;
  }

  const dlsym = bind('dlsym', 'i64', ['address', 'cstring']);
  const identity = bind('memmove', 'i64', ['buffer', 'buffer', 'u64']);

  function view(address: Hva, length: number): ArrayBuffer {
    // memmove of nothing returns its first argument: a number becomes the External that ffi-rs wants.
    const pointer = ffi.load({
      library: LIBC,
      funcName: 'memmove',
      retType: DataType.External,
      paramsType: [DataType.U64, DataType.U64, DataType.U64],
      paramsValue: [address, address, 0],
    } as any) as any;
    return ffi.createExternalBuffer(pointer, length).buffer as ArrayBuffer;
  }

  return {
    name: 'ffi-rs',
    bind,
    bindFrom,
    symbolAddress: (symbol: string): Hva => hva(dlsym(0, symbol)),
    view,
    addressOf: (bytes: Uint8Array): Hva => hva(identity(bytes, bytes, 0)),
  };
}
