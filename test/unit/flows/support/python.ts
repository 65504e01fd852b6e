// Evaluates expressions in CPython itself, so that ours can be compared with it.
import { spawnSync } from 'node:child_process';

export interface PythonCase {
  readonly expression: string;
  readonly env: Record<string, unknown>;
}

/** `text`: str() of the value, tuples as lists. */
export type PythonAnswer = { readonly text: string } | { readonly error: string };

const PROGRAM = `
import json, os, sys

class Obj(dict):
    __getattr__ = dict.__getitem__

def listed(value):
    if isinstance(value, (list, tuple, range, zip, enumerate)) or type(value).__name__.startswith('dict_'):
        return [listed(item) for item in value]
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    return value

def pathsplit(path):
    head, tail = path[:path.rfind('/') + 1], path[path.rfind('/') + 1:]
    return [head, tail] if head == '/~/' else list(os.path.split(path))

names = {f.__name__: f for f in (len, str, int, float, bool, abs, min, max, sum, any, all, sorted, list, range, enumerate, zip)}
# Our language has lists only: what Python makes lazily is a list at once.
for lazy in (range, enumerate, zip):
    names[lazy.__name__] = lambda *args, lazy=lazy: listed(lazy(*args))
# A string of an unlisted value would differ only by brackets.
names['str'] = lambda value: str(listed(value))
names['pathsplit'] = pathsplit
for case in json.load(sys.stdin):
    env = json.loads(json.dumps(case['env']), object_hook=Obj)
    try:
        value = eval(case['expression'], {'__builtins__': {}, **names, **env})
        answer = {'text': str(listed(value))}
    except Exception as error:
        answer = {'error': type(error).__name__ + ': ' + str(error)}
    print(json.dumps(answer))
`;

/** Is there a Python to compare with? */
export function hasPython(): boolean {
  return spawnSync('python3', ['-c', 'pass']).status === 0;
}

export function askPython(cases: readonly PythonCase[]): PythonAnswer[] {
  const { stdout, stderr, status } = spawnSync('python3', ['-c', PROGRAM], {
    input: JSON.stringify(cases),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`python3 failed: ${stderr}`);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as PythonAnswer);
}
