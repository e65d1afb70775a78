import type { Hva } from '../memory/address.ts';

/**
 * How a C parameter is passed. `buffer` takes a typed array whose bytes stay where they are for the length of
 * the call; `address` takes a number.
 */
export type CParameter = 'i32' | 'u32' | 'i64' | 'u64' | 'address' | 'buffer' | 'cstring';
export type CResult = 'i32' | 'i64' | 'void';
export type CFunction = (...values: (number | string | Uint8Array)[]) => number;

/**
 * All that tsvmm asks of an FFI package: call C functions of libc, tell errno, look at memory by address.
 * koffi and ffi-rs implement it; test/vmm/ffi holds the compliance suite both pass.
 */
export interface FfiBackend {
  readonly name: 'koffi' | 'ffi-rs';

  /** Binds a libc function; on failure (result -1) the call yields -errno instead. Throws if libc lacks it. */
  bind(symbol: string, result: CResult, parameters: readonly CParameter[]): CFunction;

  /**
   * Binds a function of another shared library, such as "libzstd.so.1", whose result comes as it is: such libraries do not
   * use errno. Throws if the library, or the symbol in it, is not there.
   */
  bindFrom(library: string, symbol: string, result: CResult, parameters: readonly CParameter[]): CFunction;

  /** Address of a libc function, to be passed to the kernel or to libc. */
  symbolAddress(symbol: string): Hva;

  /**
   * A view of `length` bytes at `address`, without copy; it neither owns nor frees them. At most 2 GiB: V8's
   * limit for external buffers differs between versions, and crossing it ends the process.
   */
  view(address: Hva, length: number): ArrayBuffer;

  /** Where a typed array's bytes are. Stable only for memory that did not come from V8's moving heap. */
  addressOf(bytes: Uint8Array): Hva;
}
