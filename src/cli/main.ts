// The program `pilotwave`: edges in, exit code out.
import { processIo } from './io.ts';
import { runCli } from './program.ts';

// A reader that has seen enough (`pilotwave task list | head`) closes the pipe: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const code = await runCli(process.argv.slice(2), processIo());
// What was written must be out before the end; whatever else is still open must not keep the program.
for (const stream of [process.stdout, process.stderr])
  await new Promise((resolve) => stream.write('', resolve));
process.exit(code);
