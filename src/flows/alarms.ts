// Wakes the runner on time for runs that want to be woken soon; what lies further ahead its regular look finds.

export interface Alarms {
  /** Rings at a time, milliseconds since 1970. */
  set(at: number): void;
  stop(): void;
}

/** Further ahead than this no alarm is set. */
const HORIZON_MS = 60_000;
const MOST_ALARMS = 1_000;
/** Runs that want to be woken within this time of each other are woken together. */
const GRAIN_MS = 10;

export function makeAlarms(now: () => number, ring: () => void): Alarms {
  const timers = new Map<number, NodeJS.Timeout>();
  return {
    set(at) {
      const slot = Math.ceil(at / GRAIN_MS) * GRAIN_MS;
      const wait_ms = Math.max(0, slot - now());
      if (wait_ms > HORIZON_MS || timers.has(slot) || timers.size >= MOST_ALARMS) return;
      const timer = setTimeout(() => {
        timers.delete(slot);
        ring();
      }, wait_ms);
      timers.set(slot, timer);
    },
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
