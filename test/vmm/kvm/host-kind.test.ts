import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hostKind, hostKindOf } from '../../../vmm/kvm/host-kind.ts';

test('hostKindOf(): Intel, AMD, or neither', () => {
  assert.is(hostKindOf('processor\t: 0\nflags\t\t: fpu vmx sse\n'), 'vmx');
  assert.is(hostKindOf('flags\t\t: fpu svm sse\n'), 'svm');
  assert.is(hostKindOf('flags\t\t: fpu vmxnet svm_lock\n'), 'software');
  assert.is(hostKindOf(''), 'software');
});

test('hostKind(): this host has one', () => {
  assert.ok(['vmx', 'svm', 'software'].includes(hostKind()));
});

test.run();
