// Blocks on this machine: the script runs as the leader of a session of its own, so that it outlives the manager
// that started it and a later one can take it over. A native id is PID:START (processes.ts): a pid alone may be
// another process's by then.
import type { BatchScheduler, BlockReport, CommandOutput } from './contract.ts';
import { shellLine, shellQuote } from './contract.ts';

// Prints "PID START" of one live process, and nothing for one that is gone or a zombie. Where there is /proc,
// the start is field 22 of its stat; elsewhere what ps says.
const PRINT_PROCESS = `print_process() {
  if [ -r /proc/self/stat ]; then
    { read -r line < "/proc/$1/stat"; } 2>/dev/null || return 0
    rest=\${line##*) }
    set -- "$1" $rest
    [ "$2" = Z ] || [ "$2" = X ] || echo "$1 \${21}"
  else
    start=$(ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' '_')
    [ -z "$start" ] || echo "$1 \${start%_}"
  fi
}`;

const STATUS = `${PRINT_PROCESS}
for pid in "$@"; do print_process "$pid"; done`;

const CANCEL = `signal=$1; shift
for pid in "$@"; do kill -s "$signal" -- "-$pid" 2>/dev/null; done; exit 0`;

function pidOf(nativeId: string): string {
  return nativeId.split(':', 1)[0] ?? '';
}

/** Lines "PID START" → native ids of live processes. */
function liveIds(output: CommandOutput): Set<string> {
  const lines = output.stdout.split('\n').map((line) => /^(\d+) (\S+)$/.exec(line.trim()));
  return new Set(lines.flatMap((found) => (found === null ? [] : [`${found[1]}:${found[2]}`])));
}

export const local: BatchScheduler = {
  name: 'local',
  poll_ms: 1_000,
  foreground: true,
  script(block) {
    const log = shellQuote(block.log_file);
    return `#!/bin/sh
exec >>${log} 2>&1
${block.worker_init}
exec ${shellLine(block.executor)}
`;
  },
  submitCommand: (scriptFile) => ({ argv: ['sh', scriptFile] }),
  parseSubmit(output) {
    const [id] = liveIds(output);
    if (output.code !== 0 || id === undefined) {
      throw new Error(`the block could not be started: ${output.stderr.trim() || 'it ended at once'}`);
    }
    return id;
  },
  statusCommand: (nativeIds) => ({ argv: ['sh', '-c', STATUS, 'status', ...nativeIds.map(pidOf)] }),
  parseStatus(output, nativeIds) {
    if (output.code !== 0) throw new Error(`processes cannot be listed: ${output.stderr.trim()}`);
    const live = liveIds(output);
    const report = (id: string): BlockReport => ({ phase: live.has(id) ? 'running' : 'ended', words: '' });
    return new Map(nativeIds.map((id) => [id, report(id)]));
  },
  cancelCommand: (nativeIds, force) => ({
    argv: ['sh', '-c', CANCEL, 'cancel', force ? 'KILL' : 'TERM', ...nativeIds.map(pidOf)],
  }),
};
