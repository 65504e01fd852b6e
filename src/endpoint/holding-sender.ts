// Sending on a line that may say "full for now": what it does not take is held, in order, and offered again.
// Callers bound what is held by looking at `heldBytes` before they make more.

const AGAIN_MS = 2;

export interface HoldingSender {
  send(frames: readonly Uint8Array[]): void;
  /** Bytes the line has not taken yet. */
  readonly heldBytes: number;
  /** Forgets what is held: the connection it was for is gone. */
  clear(): void;
}

export function makeHoldingSender(offer: (frames: readonly Uint8Array[]) => boolean): HoldingSender {
  let held: (readonly Uint8Array[])[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | null = null;

  const sizeOf = (frames: readonly Uint8Array[]): number =>
    frames.reduce((sum, frame) => sum + frame.byteLength, 0);

  const again = (): void => {
    timer = null;
    let taken = 0;
    for (const frames of held) {
      if (!offer(frames)) break;
      bytes -= sizeOf(frames);
      taken++;
    }
    held = held.slice(taken);
    if (held.length > 0) timer = setTimeout(again, AGAIN_MS);
  };

  return {
    send(frames) {
      if (held.length === 0 && offer(frames)) return;
      held.push(frames);
      bytes += sizeOf(frames);
      timer ??= setTimeout(again, AGAIN_MS);
    },
    get heldBytes() {
      return bytes;
    },
    clear() {
      held = [];
      bytes = 0;
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  };
}
