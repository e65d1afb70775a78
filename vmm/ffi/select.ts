import { TsvmmError } from '../errors.ts';
import type { FfiBackend } from './backend.ts';

/**
 * The FFI backend of this thread: what TSVMM_FFI names, else koffi, else (no koffi binary for this platform)
 * ffi-rs. Throws TSVMM_E_FFI_MISSING, TSVMM_E_USAGE.
 */
export async function selectBackend(wanted = process.env.TSVMM_FFI): Promise<FfiBackend> {
  switch (wanted) {
    case undefined:
    case '':
      return loadKoffi().catch(loadFfiRs);
    case 'koffi':
      return loadKoffi();
    case 'ffi-rs':
      return loadFfiRs();
    default:
      throw new TsvmmError('TSVMM_E_USAGE', `TSVMM_FFI=${wanted} names no FFI backend`, {
        hint: 'set TSVMM_FFI to koffi or ffi-rs, or leave it unset',
      });
  }
}

const loadKoffi = (): Promise<FfiBackend> =>
  import('./koffi.ts').then(module => module.createKoffiBackend()).catch(missing('koffi'));

const loadFfiRs = (): Promise<FfiBackend> =>
  import('./ffi-rs.ts').then(module => module.createFfiRsBackend()).catch(missing('ffi-rs'));

const missing = (name: string) => (cause: unknown) => {
  throw new TsvmmError('TSVMM_E_FFI_MISSING', `the FFI package ${name} cannot be loaded on this machine`, {
    hint: `run npm install again; ${name} needs its prebuilt binary for ${process.platform}-${process.arch}`,
    cause,
  });
};
