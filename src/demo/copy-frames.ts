// Replays real frames: finds the detector files below a folder and copies them into a drop folder, each under a
// temporary name that is renamed when the copy is whole.
import { constants } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join, relative, resolve, sep } from 'node:path';
import { systemChance, systemClock } from '../clock.ts';
import type { Chance, Clock } from '../clock.ts';
import { Fault, messageOf } from '../errors.ts';
import { paced } from './pace.ts';

/** Files that detectors write; each may also be packed (.gz, .bz2). */
const FRAME_NAME = /\.(cbf|tiff?|edf|img|h5|hdf5|nxs|npz)(\.(gz|bz2))?$/i;
/** Bounds of the search. */
const MOST_FRAMES = 100_000;
const MOST_DEPTH = 32;

export interface FoundFrame {
  /** Where it is. */
  readonly source: string;
  /** The name that its copy gets: its own, or with its folder's when two files share one. */
  readonly name: string;
  readonly bytes: number;
}

export interface SkippedFile {
  readonly source: string;
  readonly why: string;
}

export interface FrameListing {
  /** Sorted by path. */
  readonly frames: readonly FoundFrame[];
  readonly skipped: readonly SkippedFile[];
}

/** Is it the name of a file that a detector writes? */
export function isFrameName(name: string): boolean {
  return FRAME_NAME.test(name) && !name.startsWith('.');
}

/** Every file below a folder, sorted; links to folders are not followed, so the search ends. */
async function filesBelow(dir: string, leaveOut: string, depth: number): Promise<readonly string[]> {
  if (depth > MOST_DEPTH || resolve(dir) === resolve(leaveOut)) return [];
  const entries = await readdir(dir, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const found: string[] = [];
  for (const entry of entries) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) found.push(...(await filesBelow(path, leaveOut, depth + 1)));
    else found.push(path);
    if (found.length > MOST_FRAMES) break;
  }
  return found;
}

/** The frames below `inputDir` (outside `leaveOut`) and the files that are none, each with the reason. */
export async function listFrames(inputDir: string, leaveOut: string): Promise<FrameListing> {
  const files = await filesBelow(inputDir, leaveOut, 0).catch((error: unknown) => {
    throw new Fault('invalid_request', `The frames cannot be read from ${inputDir}: ${messageOf(error)}`, {
      remedy: 'Give a folder that exists and that you may read.',
    });
  });
  const frames: FoundFrame[] = [];
  const skipped: SkippedFile[] = [];
  const taken = new Set<string>();
  for (const source of files.slice(0, MOST_FRAMES)) {
    const facts = await stat(source).catch(() => null);
    if (!isFrameName(basename(source)))
      skipped.push({ source, why: 'not a name that detectors give to frames' });
    else if (facts === null) skipped.push({ source, why: 'cannot be read' });
    else if (!facts.isFile()) skipped.push({ source, why: 'not a file' });
    else {
      const plain = basename(source);
      const name = taken.has(plain) ? relative(inputDir, source).split(sep).join('__') : plain;
      taken.add(name);
      frames.push({ source, name, bytes: facts.size });
    }
  }
  return { frames, skipped };
}

export interface CopiedFrame extends FoundFrame {
  readonly path: string;
  /** When the copy had its final name: milliseconds since 1970. */
  readonly written_at: number;
}

export interface CopyOptions {
  /** The drop folder; made when it is missing. */
  readonly dir: string;
  /** Frames a second; 0 for as fast as they can be copied. */
  readonly rate_hz: number;
  /** Aborted: no more frames. */
  readonly signal: AbortSignal;
  readonly onWritten?: (copied: CopiedFrame) => void;
  readonly clock?: Clock;
  readonly chance?: Chance;
}

/** Copies every frame below `inputDir`. A file that cannot be copied is skipped and told of; a full disk rejects. */
export async function copyFrames(
  inputDir: string,
  options: CopyOptions,
): Promise<{ readonly written: readonly CopiedFrame[]; readonly skipped: readonly SkippedFile[] }> {
  const { dir, rate_hz, signal, onWritten, clock = systemClock, chance = systemChance } = options;
  const listing = await listFrames(inputDir, dir);
  await mkdir(dir, { recursive: true });
  const written: CopiedFrame[] = [];
  const skipped = [...listing.skipped];
  for await (const frame of paced(listing.frames, rate_hz, signal, clock)) {
    const path = join(dir, frame.name);
    const waiting = `${path}.${chance.bytes(4).toString('hex')}.tmp`;
    try {
      await copyFile(frame.source, waiting, constants.COPYFILE_FICLONE);
      await rename(waiting, path);
    } catch (error) {
      await rm(waiting, { force: true });
      if (['ENOSPC', 'EDQUOT', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      skipped.push({ source: frame.source, why: messageOf(error) });
      continue;
    }
    const copied: CopiedFrame = { ...frame, path, written_at: clock.now() };
    written.push(copied);
    onWritten?.(copied);
  }
  return { written, skipped };
}
