// One Python worker as a child process: its pipe, its state file, its end. It leads a process group of its own,
// so that whatever a task started ends with it.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../errors.ts';
import { uuidFromBytes } from '../../ids.ts';
import type { Logger } from '../../log.ts';
import { WORKER_DIR } from '../../paths.ts';
import { nameProcess, signalGroup } from '../../processes.ts';
import { FrameReader, type WorkerFrame } from './frames.ts';
import type { RunningTask } from './state.ts';

/** chunk (16) | u8 index | u8 running | u16 attempt | f64 started, seconds since 1970 | u8 halt | 3 unused. All but
 *  `halt` is the worker's to write; while `halt` is 1 it begins no task and answers batches unfinished. */
const STATE_BYTES = 32;
const HALT_AT = 28;
const LAST_WORDS_BYTES = 2_000;
/** Output that arrives after the process ended, before it is given up: another process may hold the pipe. */
const DRAIN_MS = 1_000;
const LOG_BYTES_PER_LIFE = 256 * 1024;

export interface WorkerProcessEvents {
  readonly onFrame: (frame: WorkerFrame) => void;
  readonly onBroken: (why: string) => void;
  /** Called once, after the last frame. */
  readonly onEnd: (end: { how: string; running: RunningTask | null; last_words: string }) => void;
}

export interface WorkerProcessOptions {
  readonly python: string;
  readonly slot: number;
  /** Folder for the state file and the note of who runs. */
  readonly dir: string;
  /** Where tasks start. */
  readonly cwd: string;
  readonly log: Logger;
  readonly events: WorkerProcessEvents;
}

/** Reads a state file's bytes: what its worker is running, or null. */
export function parseState(bytes: Buffer): RunningTask | null {
  if (bytes.length < STATE_BYTES || bytes.readUInt8(17) === 0) return null;
  return {
    chunk: uuidFromBytes(bytes),
    index: bytes.readUInt8(16),
    attempt: bytes.readUInt16LE(18),
    started_s: bytes.readDoubleLE(20),
  };
}

/** Where the note of a worker's process lies; a manager reads it to end what an executor left behind. */
export function workerNote(dir: string, slot: number): string {
  return join(dir, `worker-${slot}.json`);
}

/** What functions may see of our environment: not where the service keeps its secrets. */
export function workerEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const secret = /^(PILOTWAVE_.*|DATABASE_URL|REDIS_URL|PGPASSWORD)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !secret.test(name)));
}

export class WorkerProcess {
  readonly #options: WorkerProcessOptions;
  readonly #child: ChildProcess;
  readonly #stateFile: string;
  #stateFd: number | null;
  readonly #reader = new FrameReader();
  #lastWords = '';
  #logged = 0;
  #ended = false;

  constructor(options: WorkerProcessOptions) {
    this.#options = options;
    this.#stateFile = join(options.dir, `worker-${options.slot}.state`);
    writeFileSync(this.#stateFile, Buffer.alloc(STATE_BYTES));
    this.#stateFd = openSync(this.#stateFile, 'r+');
    const argv = [WORKER_DIR, '--cwd', options.cwd, '--state', this.#stateFile];
    this.#child = spawn(options.python, argv, {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: workerEnvironment(process.env),
    });
    this.#listen();
    const name = this.#child.pid === undefined ? null : nameProcess(this.#child.pid);
    if (name !== null) writeFileSync(workerNote(options.dir, options.slot), JSON.stringify(name));
  }

  /** Frames queue in the pipe; the executor bounds how many a worker has. */
  write(frames: readonly Buffer[]): void {
    const input = this.#child.stdin;
    if (input === null || input.destroyed || this.#ended) return;
    input.cork();
    for (const bytes of frames) input.write(bytes);
    input.uncork();
  }

  /** Signals the worker and everything it started. */
  signal(signal: NodeJS.Signals): void {
    if (this.#child.pid !== undefined && !this.#ended) signalGroup(this.#child.pid, signal);
  }

  /** Tells it to begin no further task, or that it may again. */
  halt(halted: boolean): void {
    if (this.#stateFd !== null) writeSync(this.#stateFd, Buffer.from([halted ? 1 : 0]), 0, 1, HALT_AT);
  }

  /** What it runs right now. */
  look(): RunningTask | null {
    if (this.#stateFd === null) return null;
    const bytes = Buffer.alloc(STATE_BYTES);
    readSync(this.#stateFd, bytes, 0, STATE_BYTES, 0);
    return parseState(bytes);
  }

  #listen(): void {
    const child = this.#child;
    child.once('error', (error) => {
      // Without a pid it never ran; with one, the error is a signal that could not be sent.
      if (child.pid === undefined) this.#end(`cannot be started (${messageOf(error)})`);
    });
    child.once('exit', (code, signal) => {
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      const how = signal === null ? `exited with code ${code ?? '?'}` : `was killed by signal ${signal}`;
      const timer = setTimeout(() => this.#end(how), DRAIN_MS);
      child.once('close', () => {
        clearTimeout(timer);
        this.#end(how);
      });
    });
    child.stdin?.on('error', () => undefined);
    child.stdout?.on('data', (piece: Buffer) => this.#read(piece));
    child.stdout?.on('error', () => undefined);
    child.stderr?.on('data', (piece: Buffer) => this.#hear(piece.toString('utf8')));
    child.stderr?.on('error', () => undefined);
  }

  #read(piece: Buffer): void {
    if (this.#ended) return;
    try {
      for (const frame of this.#reader.push(piece)) this.#options.events.onFrame(frame);
    } catch (error) {
      this.#child.stdout?.removeAllListeners('data').resume();
      this.#options.events.onBroken(messageOf(error));
    }
  }

  #hear(text: string): void {
    this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_BYTES);
    if (this.#logged > LOG_BYTES_PER_LIFE) return;
    this.#logged += text.length;
    this.#options.log.warn({ slot: this.#options.slot, pid: this.#child.pid }, text.trimEnd());
  }

  #end(how: string): void {
    if (this.#ended) return;
    const running = this.look();
    this.#ended = true;
    if (this.#stateFd !== null) closeSync(this.#stateFd);
    this.#stateFd = null;
    rmSync(workerNote(this.#options.dir, this.#options.slot), { force: true });
    rmSync(this.#stateFile, { force: true });
    const lines = this.#lastWords.trimEnd().split('\n');
    this.#options.events.onEnd({ how, running, last_words: lines.at(-1)?.trim() ?? '' });
  }
}
