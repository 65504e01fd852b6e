// A bounded queue of whole messages waiting for a socket: first in, first out, never more than its limits.

export interface OutboxLimits {
  readonly bytes: number;
  readonly messages: number;
}

/** One message's frames and their size together. */
export interface Parcel {
  readonly frames: readonly Uint8Array[];
  readonly bytes: number;
}

const COMPACT_AFTER = 1024;

export class Outbox {
  readonly #limits: OutboxLimits;
  #parcels: (Parcel | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#parcels.length - this.#head;
  }

  /** Queues a message; false when it does not fit. One message always fits into an empty box, whatever its size. */
  push(frames: readonly Uint8Array[]): boolean {
    let bytes = 0;
    for (const frame of frames) bytes += frame.byteLength;
    const full = this.length >= this.#limits.messages || this.#bytes + bytes > this.#limits.bytes;
    if (full && this.length > 0) return false;
    this.#parcels.push({ frames, bytes });
    this.#bytes += bytes;
    return true;
  }

  peek(): Parcel | undefined {
    return this.#parcels[this.#head];
  }

  shift(): void {
    const parcel = this.#parcels[this.#head];
    if (parcel === undefined) return;
    this.#bytes -= parcel.bytes;
    this.#parcels[this.#head] = undefined;
    this.#head++;
    if (this.#head === this.#parcels.length) this.clear();
    else if (this.#head >= COMPACT_AFTER) {
      this.#parcels = this.#parcels.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#parcels = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
