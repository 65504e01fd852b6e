// Results on their way to the service: sent in order, a bounded number unacknowledged, from memory while fresh
// and from the spool otherwise, and once more when no acknowledgement comes.
import type { ResultSpool } from './result-spool.ts';

const WINDOW_MESSAGES = 256;
const WINDOW_BYTES = 64 * 1024 * 1024;
const LINE_FULL_BYTES = 8 * 1024 * 1024;
const FRESH_BYTES = 32 * 1024 * 1024;
const RESEND_MS = 30_000;

export interface UpstreamOptions {
  readonly spool: ResultSpool;
  readonly now: () => number;
  readonly send: (frames: readonly Buffer[]) => void;
  /** Bytes sent and not yet written. */
  readonly queuedBytes: () => number;
}

interface Sent {
  readonly bytes: number;
  readonly at_ms: number;
}

export class Upstream {
  readonly #options: UpstreamOptions;
  /** Messages to send, in order. */
  readonly #queue = new Set<number>();
  readonly #fresh = new Map<number, readonly Buffer[]>();
  #freshBytes = 0;
  readonly #sent = new Map<number, Sent>();
  #sentBytes = 0;
  #up = false;

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /** Is the service ready for results? What was sent before counts as lost until `add` brings it. */
  setUp(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    this.#queue.clear();
    this.#sent.clear();
    this.#sentBytes = 0;
    this.#fresh.clear();
    this.#freshBytes = 0;
  }

  /** A new message, already spooled. */
  addFresh(seq: number, frames: readonly Buffer[]): void {
    if (!this.#up) return;
    const bytes = sizeOf(frames);
    if (this.#freshBytes + bytes <= FRESH_BYTES) {
      this.#fresh.set(seq, frames);
      this.#freshBytes += bytes;
    }
    this.#queue.add(seq);
    this.pump();
  }

  /** Messages to send again. */
  add(seqs: readonly number[]): void {
    for (const seq of seqs) this.#queue.add(seq);
    this.pump();
  }

  acknowledged(seq: number): void {
    const sent = this.#sent.get(seq);
    if (sent !== undefined) this.#sentBytes -= sent.bytes;
    this.#sent.delete(seq);
    this.#queue.delete(seq);
    this.#dropFresh(seq);
    this.pump();
  }

  /** Sends what the window has room for. */
  pump(): void {
    if (!this.#up) return;
    const { spool, send, now, queuedBytes } = this.#options;
    for (const seq of this.#queue) {
      if (
        this.#sent.size >= WINDOW_MESSAGES ||
        this.#sentBytes >= WINDOW_BYTES ||
        queuedBytes() > LINE_FULL_BYTES
      )
        return;
      const frames = this.#fresh.get(seq) ?? spool.read(seq);
      this.#queue.delete(seq);
      this.#dropFresh(seq);
      if (frames === null) continue;
      send(frames);
      const bytes = sizeOf(frames);
      this.#sentBytes += bytes - (this.#sent.get(seq)?.bytes ?? 0);
      this.#sent.set(seq, { bytes, at_ms: now() });
    }
  }

  /** Sends again what has waited too long for its acknowledgement. */
  tick(): void {
    const late_ms = this.#options.now() - RESEND_MS;
    for (const [seq, { bytes, at_ms }] of this.#sent) {
      if (at_ms > late_ms) break;
      this.#sent.delete(seq);
      this.#sentBytes -= bytes;
      this.#queue.add(seq);
    }
    this.pump();
  }

  #dropFresh(seq: number): void {
    const frames = this.#fresh.get(seq);
    if (frames === undefined) return;
    this.#fresh.delete(seq);
    this.#freshBytes -= sizeOf(frames);
  }
}

function sizeOf(frames: readonly Buffer[]): number {
  return frames.reduce((sum, frame) => sum + frame.length, 0);
}
