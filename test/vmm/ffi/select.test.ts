import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TsvmmError } from '../../../vmm/errors.ts';
import { selectBackend } from '../../../vmm/ffi/select.ts';

test('selectBackend(): koffi by default, and what TSVMM_FFI names', async () => {
  assert.is((await selectBackend('')).name, 'koffi');
  assert.is((await selectBackend('koffi')).name, 'koffi');
  assert.is((await selectBackend('ffi-rs')).name, 'ffi-rs');
});

test('selectBackend(): an unknown name is a usage error', async () => {
  const error = await selectBackend('dlopen').catch((reason: unknown) => reason);
  assert.instance(error, TsvmmError);
  assert.is((error as TsvmmError).code, 'TSVMM_E_USAGE');
});

test.run();
