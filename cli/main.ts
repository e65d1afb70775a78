#!/usr/bin/env node
/** Entry of the `tsvmm` command. It loads next to nothing: the verb that is asked for brings its own modules. */
import module from 'node:module';
import { homeDirectory } from './home/layout.ts';

// Node 22 and later keep compiled code between runs, which takes a third off the start-up time.
const { enableCompileCache } = module as { enableCompileCache?: (directory: string) => unknown };
enableCompileCache?.(`${homeDirectory()}/cache/node`);

// A reader that has seen enough (`tsvmm ps | head -1`) is no error.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const { runCommandLine } = await import('./command-line.ts');
process.exit(await runCommandLine(process.argv.slice(2)));
