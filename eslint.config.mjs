// Lint rules. Type-checked rules run on everything TypeScript; pure files may not touch time, chance or I/O.
import tseslint from 'typescript-eslint';

const PURE_FILES = [
  'src/**/machine.ts',
  'src/**/decide.ts',
  'src/**/match.ts',
  'src/**/schedule.ts',
  'src/**/placement.ts',
  'src/**/scaling.ts',
  'src/**/warm-pool.ts',
  'src/**/policy.ts',
  'src/**/settle.ts',
  'src/flows/states/*.ts',
  'src/flows/expressions/*.ts',
];

export default tseslint.config(
  { ignores: ['node_modules', 'dist', '.build', 'schemas'] },
  ...tseslint.configs.recommendedTypeChecked.map((config) => ({ ...config, files: ['**/*.ts'] })),
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
    },
  },
  {
    files: PURE_FILES,
    rules: {
      'no-restricted-globals': [
        'error',
        'setTimeout',
        'setInterval',
        'setImmediate',
        'process',
        'fetch',
        'console',
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'time comes in as an argument' },
        { object: 'Math', property: 'random', message: 'chance comes in as an argument' },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: 'time comes in as an argument',
        },
        { selector: ':function[async=true]', message: 'pure files decide; shells act' },
        { selector: 'ImportDeclaration[source.value=/^node:/]', message: 'pure files do no I/O' },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      'no-console': 'off',
    },
  },
);
