// Calls the example's Python function as a worker does: its source executed in an empty module, in a process of
// its own. One process answers a whole list of calls.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../../../src/paths.ts';

export const STILLS = join(PACKAGE_ROOT, 'examples', 'stills.py');

/** Interpreter to test with; a worker's is `python3` as well. */
export const PYTHON = process.env['PILOTWAVE_TEST_PYTHON'] ?? 'python3';

export interface Call {
  readonly name?: 'analyse_frame' | 'mark_preview';
  readonly kwargs: Readonly<Record<string, unknown>>;
  /** What happens to the file just after the function has opened it. */
  readonly meanwhile?: 'replace' | 'append' | 'remove';
}

export interface Analysis {
  readonly file: string;
  readonly format: string;
  readonly width: number;
  readonly height: number;
  readonly spots: number;
  readonly strongest: readonly (readonly [number, number, number])[];
  readonly mean: number;
  readonly median: number;
  readonly max: number;
  readonly masked: number;
  readonly saturated: number;
  readonly ring_pixels: number;
  readonly resolution: Readonly<Record<string, number | string>>;
  readonly reader: 'numpy' | 'stdlib';
  readonly seconds: number;
  readonly preview?: string;
}

export type Answer = { readonly value: Analysis } | { readonly error: string };

const DRIVER = `
import builtins, json, os, shutil, sys

def meddled(path, how):
    real = builtins.open
    def opening(name, *rest, **more):
        opened = real(name, *rest, **more)
        if name == path:
            builtins.open = real
            if how == "replace":
                shutil.copyfile(path, path + ".new")
                os.replace(path + ".new", path)
            elif how == "append":
                with real(path, "ab") as grown:
                    grown.write(b"more")
            else:
                os.remove(path)
        return opened
    builtins.open = opening

request = json.load(sys.stdin)
answers = []
for call in request["calls"]:
    module = {}
    exec(request["source"], module)
    try:
        if call.get("meanwhile"):
            meddled(call["kwargs"]["path"], call["meanwhile"])
        answers.append({"value": module[call.get("name", "analyse_frame")](**call["kwargs"])})
    except ValueError as problem:
        answers.append({"error": str(problem)})
json.dump(answers, sys.stdout, allow_nan=False)
`;

/** Runs Python with a script and JSON on its standard input; answers what it printed. */
export function python(script: string, input: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(PYTHON, ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(parts).toString());
      else reject(new Error(`${PYTHON} ended with ${code}`));
    });
    child.stdin.end(JSON.stringify(input));
  });
}

/** The answers to the calls, in order. Errors other than ValueError reject. */
export async function callStills(
  calls: readonly Call[],
  source = readFileSync(STILLS, 'utf8'),
): Promise<readonly Answer[]> {
  return JSON.parse(await python(DRIVER, { source, calls })) as readonly Answer[];
}

/** The analyses of frames; throws on the first that was refused. */
export async function analyse(calls: readonly Call[], source?: string): Promise<readonly Analysis[]> {
  const answers = await callStills(calls, source);
  return answers.map((answer) => {
    if ('error' in answer) throw new Error(answer.error);
    return answer.value;
  });
}

/** Why the one call was refused. */
export async function refusal(call: Call): Promise<string> {
  const [answer] = await callStills([call]);
  if (answer === undefined || !('error' in answer))
    throw new Error(`it was not refused: ${JSON.stringify(answer)}`);
  return answer.error;
}

/** Is numpy there for the interpreter under test? */
export async function hasNumpy(): Promise<boolean> {
  const found = await python(
    'import json, sys\ntry:\n    import numpy\n    found = True\nexcept ImportError:\n    found = False\njson.dump(found, sys.stdout)',
    null,
  );
  return found === 'true';
}
