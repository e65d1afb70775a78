/** The tests of libc.test.ts once more, with the other backend. */
process.env.TSVMM_FFI = 'ffi-rs';
await import('./libc.test.ts');

export {};
