import { suite } from 'uvu';
import { mprotectMechanism } from '../../../snapshot/cow/mprotect.ts';
import { mechanismCompliance } from './compliance.ts';

const test = suite('mprotectMechanism()');
mechanismCompliance(test, undefined, mprotectMechanism, { tellsKernel: false });
test.run();
