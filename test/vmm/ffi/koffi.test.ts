import { createKoffiBackend } from '../../../vmm/ffi/koffi.ts';
import { ffiCompliance } from './compliance.ts';

ffiCompliance(createKoffiBackend);
