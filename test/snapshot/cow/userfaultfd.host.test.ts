import { suite } from 'uvu';
import { userfaultfdMechanism } from '../../../snapshot/cow/userfaultfd.ts';
import { UserfaultFeature, userfaultfdFeatures } from '../../../vmm/memory/userfaultfd.ts';
import { mechanismCompliance } from './compliance.ts';

const test = suite('userfaultfdMechanism()');
const lacks =
  (userfaultfdFeatures() & UserfaultFeature.PAGEFAULT_FLAG_WP) === 0n
    ? 'this kernel lets us have no userfaultfd write protection'
    : undefined;
mechanismCompliance(test, lacks, userfaultfdMechanism, { tellsKernel: true });
test.run();
