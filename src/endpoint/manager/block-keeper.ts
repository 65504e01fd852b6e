// Blocks at a scheduler: submits, watches, cancels them and remembers them on disk, so that a later manager takes
// them over. It says what happened; the machine decides what follows.
import {
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  fstatSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { readJsonFile, writePrivateFile } from '../files.ts';
import { processStart, signalGroup, type ProcessName } from '../../processes.ts';
import type { BatchScheduler } from '../schedulers/contract.ts';
import { runCommand, startForeground } from '../schedulers/run-command.ts';

const TAIL_BYTES = 4096;
const REASON_CHARACTERS = 500;
/** Folders of past blocks kept for their logs. */
const KEPT_BLOCKS = 20;
/** Between asking a block to end and ending it. */
const GRACE_MS = 4_000;
const POLL_MS = 50;

interface Record {
  readonly block_id: string;
  readonly native_id: string;
}

export interface BlockKeeperOptions {
  readonly scheduler: BatchScheduler;
  /** The endpoint's folder. */
  readonly dir: string;
  readonly worker_init: string;
  /** Program and arguments of an executor of this block. */
  readonly executor: (blockId: string) => readonly [string, ...string[]];
  readonly log: Logger;
  readonly onSubmitted: (blockId: string) => void;
  readonly onEnded: (blockId: string, reason: string) => void;
}

export class BlockKeeper {
  readonly #options: BlockKeeperOptions;
  readonly #records = new Map<string, Record>();
  /** Blocks whose end is noticed without asking. */
  readonly #watched = new Set<string>();
  readonly #submissions = new Set<Promise<void>>();
  #ending = false;
  readonly #file: string;
  readonly #polling: NodeJS.Timeout;
  #looking: Promise<void> | null = null;
  /** Ends of blocks that nobody here has heard of are not reported. */
  #reporting = false;

  constructor(options: BlockKeeperOptions) {
    this.#options = options;
    this.#file = join(options.dir, 'blocks.json');
    mkdirSync(join(options.dir, 'blocks'), { recursive: true, mode: 0o700 });
    this.#polling = setInterval(() => void this.#look(), options.scheduler.poll_ms);
  }

  /** Takes over the blocks of an earlier manager that still run. Answers their ids. */
  async takeOver(): Promise<string[]> {
    let kept: unknown;
    try {
      kept = readJsonFile(this.#file);
    } catch (error) {
      this.#options.log.error({ err: error }, 'the list of blocks cannot be read; none is taken over');
    }
    for (const record of Array.isArray(kept) ? (kept as Record[]) : [])
      this.#records.set(record.block_id, record);
    await this.#look();
    this.#reporting = true;
    return [...this.#records.keys()];
  }

  /** Submits a block; its fate is reported. */
  async submit(block_id: string): Promise<void> {
    if (this.#ending) return;
    const submission = this.#submit(block_id);
    this.#submissions.add(submission);
    await submission;
    this.#submissions.delete(submission);
  }

  async #submit(block_id: string): Promise<void> {
    const { scheduler, log, worker_init } = this.#options;
    try {
      this.#forgetOldFolders();
      const dir = this.blockDir(block_id);
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const spec = {
        block_id,
        dir,
        worker_init,
        executor: this.#options.executor(block_id),
        log_file: this.#logFile(block_id),
      };
      const script = join(dir, 'block.sh');
      writeFileSync(script, scheduler.script(spec), { mode: 0o700 });
      const native_id = await this.#start(block_id, script);
      log.info({ block_id, native_id, scheduler: scheduler.name }, 'a block was submitted');
      this.#options.onSubmitted(block_id);
    } catch (error) {
      this.#options.onEnded(block_id, messageOf(error));
    }
  }

  async #start(block_id: string, script: string): Promise<string> {
    const { scheduler } = this.#options;
    const command = scheduler.submitCommand(script);
    if (!scheduler.foreground) {
      const native_id = scheduler.parseSubmit(await runCommand(command));
      this.#remember({ block_id, native_id });
      return native_id;
    }
    const block = await startForeground(command);
    this.#watched.add(block_id);
    void block.ended.then((how) => this.#ended(block_id, how));
    // A block that is over before its process could be named is reported by its end.
    if (block.output.stdout === '') return 'none';
    const native_id = scheduler.parseSubmit(block.output);
    this.#remember({ block_id, native_id });
    return native_id;
  }

  /** Asks a block to end, and ends it when it does not. Its end is reported like any other. */
  async cancel(block_id: string): Promise<void> {
    await this.#cancel(block_id, false);
    const forcing = setTimeout(() => void this.#cancel(block_id, true), GRACE_MS);
    forcing.unref();
  }

  async #cancel(block_id: string, force: boolean): Promise<void> {
    const record = this.#records.get(block_id);
    if (record === undefined) return;
    const { code, stderr } = await runCommand(
      this.#options.scheduler.cancelCommand([record.native_id], force),
    );
    if (code !== 0) this.#options.log.error({ block_id, stderr }, 'a block could not be cancelled');
  }

  /** Ends all blocks: politely, then by force. Resolves when none is left, or after the grace twice over. */
  async endAll(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#submissions);
    for (const force of [false, true]) {
      await Promise.all([...this.#records.keys()].map((block_id) => this.#cancel(block_id, force)));
      const deadline = Date.now() + GRACE_MS;
      while (this.#records.size > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        if (this.#records.size > this.#watchedCount()) await this.#look();
      }
      if (this.#records.size === 0) return;
    }
  }

  /** Stops watching; blocks run on. */
  close(): void {
    clearInterval(this.#polling);
  }

  blockDir(block_id: string): string {
    return join(this.#options.dir, 'blocks', block_id);
  }

  #logFile(block_id: string): string {
    return join(this.blockDir(block_id), 'block.log');
  }

  #watchedCount(): number {
    return [...this.#records.keys()].filter((block_id) => this.#watched.has(block_id)).length;
  }

  /** Asks the scheduler about the blocks whose end does not show by itself. */
  async #look(): Promise<void> {
    this.#looking ??= this.#ask().finally(() => (this.#looking = null));
    await this.#looking;
  }

  async #ask(): Promise<void> {
    const { scheduler, log } = this.#options;
    const records = [...this.#records.values()].filter(({ block_id }) => !this.#watched.has(block_id));
    if (records.length === 0) return;
    const ids = records.map(({ native_id }) => native_id);
    try {
      const reports = scheduler.parseStatus(await runCommand(scheduler.statusCommand(ids)), ids);
      for (const { block_id, native_id } of records) {
        const report = reports.get(native_id);
        if (report?.phase === 'ended') this.#ended(block_id, report.words);
      }
    } catch (error) {
      log.warn({ err: error }, 'the scheduler does not tell how the blocks are; they count as they were');
    }
  }

  #ended(block_id: string, how: string): void {
    this.#watched.delete(block_id);
    const known = this.#records.delete(block_id);
    if (known) this.#write();
    this.#sweep(block_id);
    if (!this.#reporting) return;
    const said = lastLine(this.#logFile(block_id)).replace(/^executor (ended|cannot run): /, '');
    const reason = [said, how].filter((part) => part !== '').join('; ') || 'it ended';
    this.#options.onEnded(block_id, reason.slice(0, REASON_CHARACTERS));
  }

  /** Ends what the executors of a local block left behind: the process groups of their workers. */
  #sweep(block_id: string): void {
    if (!this.#options.scheduler.foreground) return;
    const dir = this.blockDir(block_id);
    if (!existsSync(dir)) return;
    for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
      if (!/worker-\d+\.json$/.test(name)) continue;
      const note = readNote(join(dir, name));
      // A group outlives its leader; a pid in use by a group is given to nobody else.
      const start = note === null ? null : processStart(note.pid);
      if (note !== null && (start === null || start === note.start)) signalGroup(note.pid, 'SIGKILL');
      rmSync(join(dir, name), { force: true });
    }
  }

  #remember(record: Record): void {
    this.#records.set(record.block_id, record);
    this.#write();
  }

  #write(): void {
    writePrivateFile(this.#file, JSON.stringify([...this.#records.values()]));
  }

  #forgetOldFolders(): void {
    const root = join(this.#options.dir, 'blocks');
    const past = readdirSync(root).filter((block_id) => !this.#records.has(block_id));
    if (past.length < KEPT_BLOCKS) return;
    const age = (block_id: string): number => statSync(join(root, block_id)).mtimeMs;
    past.sort((one, other) => age(one) - age(other));
    for (const block_id of past.slice(0, past.length - KEPT_BLOCKS + 1)) {
      rmSync(join(root, block_id), { recursive: true, force: true });
    }
  }
}

function readNote(file: string): ProcessName | null {
  try {
    const note = readJsonFile(file) as Partial<ProcessName> | undefined;
    return typeof note?.pid === 'number' && typeof note.start === 'string'
      ? { pid: note.pid, start: note.start }
      : null;
  } catch {
    return null;
  }
}

/** The last line of a log that is no structured log line, or ''. */
function lastLine(file: string): string {
  if (!existsSync(file)) return '';
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(fd, bytes, 0, bytes.length, Math.max(0, size - bytes.length));
    const lines = bytes
      .toString('utf8')
      .split('\n')
      .map((line) => line.trim());
    return lines.filter((line) => line !== '' && !line.startsWith('{')).at(-1) ?? '';
  } finally {
    closeSync(fd);
  }
}
