import { createFfiRsBackend } from '../../../vmm/ffi/ffi-rs.ts';
import { ffiCompliance } from './compliance.ts';

ffiCompliance(createFfiRsBackend);
