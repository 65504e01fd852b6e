// The scanner of function definitions against Python's own parser, over the standard library of the Python here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pythonDefs } from '../../../src/cli/python-defs.ts';

/** Prints {path: [[name, line, is_async]…]} for the files that Python itself can read as UTF-8. */
const PARSE = `
import ast, glob, json, os, sysconfig, warnings
warnings.simplefilter("ignore")
lib = sysconfig.get_paths()["stdlib"]
found = {}
for path in sorted(glob.glob(os.path.join(lib, "*.py")) + glob.glob(os.path.join(lib, "*", "*.py")))[:700]:
    try:
        with open(path, encoding="utf-8") as file: tree = ast.parse(file.read())
    except Exception: continue
    last = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            last.pop(node.name, None)
            last[node.name] = [node.name, node.lineno, isinstance(node, ast.AsyncFunctionDef)]
    found[path] = list(last.values())
print(json.dumps(found))
`;

describe("cli: the scanner and Python's parser", () => {
  it('find the same functions in the standard library', function () {
    this.timeout(120_000);
    const text = execFileSync('python3', ['-c', PARSE], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      timeout: 100_000,
    });
    const parsed = Object.entries(JSON.parse(text) as Record<string, [string, number, boolean][]>);
    assert.ok(parsed.length > 100, `only ${parsed.length} files`);
    for (const [path, expected] of parsed) {
      const found = pythonDefs(readFileSync(path, 'utf8')).map((def) => [def.name, def.line, def.is_async]);
      assert.deepEqual(found, expected, path);
    }
  });
});
