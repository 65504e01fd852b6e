// The program `pilotwave`: edges in, exit code out.
import { processIo } from './io.ts';
import { runCli } from './program.ts';

// A reader that has seen enough (`pilotwave task list | head`) closes the pipe: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), processIo());
