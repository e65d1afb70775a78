import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatError } from '../../../cli/ui/error-report.ts';
import { deserializeError, serializeError, TsvmmError } from '../../../vmm/errors.ts';

test('formatError: what, code, causes once, hint', () => {
  const inner = new Error('ioctl failed: EACCES');
  const error = new TsvmmError('TSVMM_E_KVM_PERMISSION', 'cannot open /dev/kvm', {
    hint: 'join the group kvm',
    cause: new Error('open failed', { cause: inner }),
  });
  const expected = `error: cannot open /dev/kvm [TSVMM_E_KVM_PERMISSION]
  caused by: open failed
  caused by: ioctl failed: EACCES
hint: join the group kvm
`;
  assert.is(formatError(error), expected);
  assert.is(formatError(deserializeError(serializeError(error))), expected);
});

test('formatError: a cause that the message already tells is not repeated', () => {
  const cause = new Error('disk full');
  assert.not.match(
    formatError(new TsvmmError('TSVMM_E_DISK', 'cannot write: disk full', { cause })),
    'caused by',
  );
});

test('formatError: an error that is none of ours is internal, and asks for a report', () => {
  const text = formatError(new TypeError('x is not a function'));
  assert.match(text, /^error: unexpected: x is not a function \[TSVMM_E_INTERNAL\]\nhint: .*TSVMM_DEBUG=1/);
});

test('formatError: further lines of a message are indented below the first', () => {
  assert.is(
    formatError(new TsvmmError('TSVMM_E_CONFIG', 'two problems\na\nb')),
    'error: two problems [TSVMM_E_CONFIG]\n  a\n  b\n',
  );
});

test('formatError: a circle of causes ends', () => {
  const a = new Error('a');
  a.cause = new Error('b', { cause: a });
  assert.is(formatError(new TsvmmError('TSVMM_E_NET', 'x', { cause: a })).match(/caused by/g)?.length, 2);
});

test.run();
