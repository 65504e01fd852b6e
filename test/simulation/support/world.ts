// Time and chance of a simulation: events in order of a driven clock, and one seeded source of randomness.
import { fractionOf, nextSeed } from '../../../src/endpoint/manager/chance.ts';

interface Due {
  readonly at_ms: number;
  readonly order: number;
  readonly action: () => void;
}

export class World {
  now_ms = 1_700_000_000_000;
  #seed: number;
  #order = 0;
  readonly #heap: Due[] = [];

  constructor(seed: number) {
    this.#seed = nextSeed(seed + 1);
    for (let round = 0; round < 8; round++) this.#seed = nextSeed(this.#seed);
  }

  /** 0 ≤ x < 1. */
  random(): number {
    this.#seed = nextSeed(this.#seed);
    return fractionOf(this.#seed);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.between(0, 255)));
  }

  after(delay_ms: number, action: () => void): void {
    const due = { at_ms: this.now_ms + Math.max(0, delay_ms), order: this.#order++, action };
    this.#heap.push(due);
    for (let at = this.#heap.length - 1; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Repeats until `going` says no. */
  every(interval_ms: number, going: () => boolean, action: () => void): void {
    this.after(interval_ms, () => {
      if (!going()) return;
      action();
      this.every(interval_ms, going, action);
    });
  }

  /** Runs events until `done` or until `limit_ms` have passed. Answers whether it was done. */
  run(limit_ms: number, done: () => boolean): boolean {
    const end_ms = this.now_ms + limit_ms;
    for (let due = this.#heap[0]; due !== undefined && due.at_ms <= end_ms; due = this.#heap[0]) {
      if (done()) return true;
      this.#pop();
      this.now_ms = due.at_ms;
      due.action();
    }
    this.now_ms = Math.max(this.now_ms, end_ms);
    return done();
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let at = 0; ;) {
      const children = [2 * at + 1, 2 * at + 2].filter((child) => child < this.#heap.length);
      const next = children.sort((a, b) => (this.#before(a, b) ? -1 : 1))[0];
      if (next === undefined || !this.#before(next, at)) return;
      this.#swap(at, next);
      at = next;
    }
  }

  #before(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.at_ms < b.at_ms || (a.at_ms === b.at_ms && a.order < b.order);
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return;
    this.#heap[one] = b;
    this.#heap[other] = a;
  }
}
