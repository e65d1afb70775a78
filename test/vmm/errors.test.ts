import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { deserializeError, exitCodes, serializeError, TsvmmError } from '../../vmm/errors.ts';
import { SyscallError } from '../../vmm/ffi/errno.ts';

test('TsvmmError: the code decides about the exit code', () => {
  const exits = (
    ['TSVMM_E_CONFIG', 'TSVMM_E_KVM_MISSING', 'TSVMM_E_TIMEOUT', 'TSVMM_E_INTERNAL'] as const
  ).map(code => new TsvmmError(code, '').exitCode);
  assert.equal(exits, [exitCodes.usage, exitCodes.hostUnfit, exitCodes.timedOut, exitCodes.failed]);
});

test('serializeError(), deserializeError(): code, message, hint, details and the chain of causes survive', () => {
  const deepest = new Error('no space left');
  const original = new TsvmmError('TSVMM_E_DISK', 'cannot write', {
    hint: 'make room',
    details: { offset: 4096, path: '/disk' },
    cause: new Error('flush failed', { cause: deepest }),
  });
  // It crosses a socket as JSON.
  const copy = deserializeError(JSON.parse(JSON.stringify(serializeError(original))));
  assert.instance(copy, TsvmmError);
  assert.is(copy.code, original.code);
  assert.is(copy.message, original.message);
  assert.is(copy.hint, original.hint);
  assert.equal(copy.details, original.details);
  assert.is(copy.exitCode, original.exitCode);
  assert.is((copy.cause as Error).message, 'flush failed');
  assert.is(((copy.cause as Error).cause as Error).message, 'no space left');
});

test('serializeError(): what is optional and missing stays missing', () => {
  const copy = deserializeError(serializeError(new TsvmmError('TSVMM_E_USAGE', 'what?')));
  assert.is(copy.hint, undefined);
  assert.is(copy.details, undefined);
  assert.is(copy.cause, undefined);
});

test('serializeError(): a SyscallError keeps the name of its errno', () => {
  const { details } = serializeError(new SyscallError('open', 13));
  assert.equal(details, { call: 'open', errno: 'EACCES' });
});

test('serializeError(): other errors become internal ones with their stack, other values their text', () => {
  const { code, message } = serializeError(new RangeError('off by one'));
  assert.is(code, 'TSVMM_E_INTERNAL');
  assert.match(message, /RangeError: off by one\n.*errors\.test/s);
  assert.is(serializeError('thrown text').message, 'thrown text');
  assert.is(serializeError(undefined).message, 'undefined');
});

test.run();
